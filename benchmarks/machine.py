"""The lines that every figure needs: on what and with what it was measured."""

import platform

import optuna
import torch

from train_core.device import device_name, pick_device


def head() -> str:
    """Hardware and versions, two lines."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return (
        f"hardware: {device_name(pick_device())}\n"
        f"versions: {versions}, optuna {optuna.__version__}"
    )
