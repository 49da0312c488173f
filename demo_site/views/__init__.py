"""Views, each of a known cost that its query parameters change."""
