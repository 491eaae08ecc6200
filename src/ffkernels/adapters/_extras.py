"""What an adapter says where its library is missing."""


def missing(error: ModuleNotFoundError, extra: str) -> ModuleNotFoundError:
    """The error with the extra that installs what was not found."""
    library = str(error.name).partition(".")[0]
    return ModuleNotFoundError(
        f"ffkernels.adapters.{extra} needs {library}, which is not installed: "
        f"pip install 'ffkernels[{extra}]'",
        name=library,
    )
