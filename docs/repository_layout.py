"""The site of `make docs` has the layout of the repository, so that one link works there and on GitHub.

A hook of MkDocs (``hooks`` in mkdocs.yml). MkDocs reads one folder; our pages also are the README of the repository,
those of the configs, and what they link to.
"""

from pathlib import Path

from mkdocs.structure.files import File, Files

PAGES = ('*.md', 'docs/**/*.md', 'configs/*/README.md', 'benchmarks/README.md')
LINKED = (
    'LICENSE',
    'NOTICE',
    'CITATION.cff',
    'docs/images/*',
    'docs/site.css',
    'daga_mm/**/*.py',
    'configs/**/*.py',
    'benchmarks/**/*.py',
    'demo/*.py',
    'examples/*.ipynb',
    'tools/**/*.py',
)


def on_files(files: Files, config) -> Files:
    """Name every file by its path in the repository, instead of by its path in docs."""
    repository = Path(config.config_file_path).parent
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for pattern in PAGES + LINKED:
        for path in sorted(repository.glob(pattern)):
            uri = path.relative_to(repository).as_posix()
            files.append(File(uri, str(repository), config.site_dir, config.use_directory_urls))
    return files
