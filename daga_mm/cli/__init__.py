"""What the command lines in ``tools/`` share.

- ``parser``: arguments.
- ``config``: read a config, changed by the command line.
- ``folders``: folders that a tool makes, whole or absent.
- ``data``: check the data sets of a config before a run.
- ``errors``: one line for the user, the traceback in a file.
- ``runs``: device, mixed precision and runner, as the command line asks for them.
- ``launch``: the processes of a launcher.
- ``dry_run``: a few steps, a validation and a checkpoint, before the whole run.

A tool imports ``parser`` and ``errors`` first, and all else after it has read its arguments: help and argument errors
come at once, while torch, which the last three load, takes seconds.
"""
