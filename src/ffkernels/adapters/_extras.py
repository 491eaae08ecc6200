"""What a module says where its library is missing."""


def missing(error: ModuleNotFoundError, extra: str, module: str | None = None) -> ModuleNotFoundError:
    """The error with the extra that installs what was not found; the module defaults to its adapter."""
    library = str(error.name).partition(".")[0]
    return ModuleNotFoundError(
        f"{module or f'ffkernels.adapters.{extra}'} needs {library}, which is not installed: "
        f"pip install 'ffkernels[{extra}]'",
        name=library,
    )
