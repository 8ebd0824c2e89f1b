"""The wire: MQTT, a broker in memory, and a private Mosquitto."""
