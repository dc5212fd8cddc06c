"""The fetch child: an address goes in, samples come out."""
