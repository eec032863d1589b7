// Work divided among threads.

#pragma once

#include <cstdint>
#include <functional>
#include <system_error>
#include <thread>
#include <vector>

namespace {

// Calls work(0), ..., work(count - 1) in parallel, as far as the system provides threads.
template <class Work> void in_parallel(int64_t count, const Work &work) {
  std::vector<std::thread> others;
  others.reserve(size_t(count));
  int64_t next = 1;
  try {
    for (; next < count; ++next) others.emplace_back(std::cref(work), next);
  } catch (const std::system_error &) {
    // No more threads: this one does the rest.
  }
  work(0);
  for (; next < count; ++next) work(next);
  for (auto &other : others) other.join();
}

}  // namespace
