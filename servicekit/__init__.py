"""What the gateway and the transcriber share, so that it is alike in both.

Imports nothing of ours, so that neither service can reach the other through it.
"""
