"""The engine child: samples go in, text comes out."""
