"""Stands in for the build system of a source distribution of which only the files are wanted.

`pip download` asks the build system for the metadata, and would first build that system. They are in the distribution.
"""

import email
import pathlib
import shutil


def prepare_metadata_for_build_wheel(directory, _settings=None):
    about = email.message_from_string(pathlib.Path("PKG-INFO").read_text())
    folder = pathlib.Path(directory, f"{about['Name']}-{about['Version']}.dist-info")
    folder.mkdir()
    shutil.copy("PKG-INFO", folder / "METADATA")
    return folder.name
