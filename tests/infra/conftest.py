"""Lets the tests find the emulators and processes of the end-to-end tests, which they share."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
