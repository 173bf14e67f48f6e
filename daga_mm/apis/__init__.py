"""From a checkpoint to an application.

- ``export``: a trained model as one file that runs without this package.
"""
