"""One conversation with a parameter server: an update, or a report."""
