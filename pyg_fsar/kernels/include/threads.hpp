// Work divided among threads.

#pragma once

#include <cstdint>
#include <functional>
#include <system_error>
#include <thread>
#include <vector>

namespace {

// Calls work(0), ..., work(count - 1), at the same time as far as the system gives threads.
template <class Work> void in_parallel(int64_t count, const Work &work) {
  std::vector<std::thread> others;
  others.reserve(size_t(count));
  int64_t next = 1;
  try {
    for (; next < count; ++next) others.emplace_back(std::cref(work), next);
  } catch (const std::system_error &) {
    // It gives no more: this thread does the rest.
  }
  work(0);
  for (; next < count; ++next) work(next);
  for (auto &other : others) other.join();
}

}  // namespace
