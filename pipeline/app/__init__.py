"""From a config to running processes: what the commands do."""
