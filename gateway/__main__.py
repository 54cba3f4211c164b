"""`python -m gateway`, and the console script `telnyx-gateway`."""

from gateway.cli import app

__all__ = ["main"]


def main() -> None:
    """Run the command that the command line names."""
    app()


if __name__ == "__main__":
    main()
