"""A Mosquitto with TLS, users and an ACL: what it needs in one folder, and how it is run."""
