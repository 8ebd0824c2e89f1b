"""The fields of those payloads that carry boxes or pictures, as the wire and its readers see them."""
