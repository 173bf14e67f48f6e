"""Write synthetic indoor scenes: `python demo/scenes.py --help`. The generator is the package beside this script."""

from scenes.cli import main  # the folder of the same name goes before this file

if __name__ == '__main__':
    main()
