"""OSSDist distributes large open source packages through a swarm."""
