"""How a client leaves room for others on its line: in the background, by the clock, by a month's cap."""
