"""What pyproject.toml cannot say: configs, small weights, poses and examples of the checkout become package data."""

from setuptools import find_packages, setup

SHIPPED = ("configs", "pretrained/mini", "standard_poses", "ref")
DATA = {f"pose2id.data.{folder.replace('/', '.')}": folder for folder in SHIPPED}

setup(
    packages=[*find_packages(include=["pose2id*", "NFC*", "IPG*"]), *DATA],
    package_dir=DATA,
    package_data={
        **{package: ["py.typed"] for package in ("pose2id", "NFC", "IPG")},
        **{package: ["**/*"] for package in DATA},
    },
)
