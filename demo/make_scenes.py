"""Write synthetic indoor scenes: `python demo/make_scenes.py --help`. The generator is the package `scenes` here."""

from scenes.cli import main

if __name__ == '__main__':
    main()
