"""Opens the web page signed in, with the key in nobody's list of processes or history."""

import webbrowser
from html import escape
from pathlib import Path
from urllib.parse import quote

from batchscribe.client.discovery import Server, write_private

_NAME = "page.html"


def open_page(data_dir: Path, server: Server) -> bool:
    """Open the page in the user's browser; False if there is none."""
    return webbrowser.open(sign_in_file(data_dir, server).as_uri())


def sign_in_file(data_dir: Path, server: Server) -> Path:
    """Write a file that leads on to the page with the key; only this user can read it."""
    path = (data_dir / _NAME).absolute()
    # What follows the # never leaves the browser.
    address = f"http://{server.http}/#key={quote(server.api_key)}"
    write_private(path, f'<meta http-equiv="refresh" content="0; url={escape(address)}">\n')
    return path
