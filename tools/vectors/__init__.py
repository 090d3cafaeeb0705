"""Makes the conformance vectors of torrents/."""
