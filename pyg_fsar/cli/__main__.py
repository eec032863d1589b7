"""``python -m pyg_fsar.cli`` is ``pyg-fsar``."""

from pyg_fsar.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
