"""Package formats: what a file of each says about itself. One module a format."""
