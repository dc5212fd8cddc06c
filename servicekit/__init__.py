"""What the gateway and the transcriber share: serving, draining, error details, logs.

Imports nothing of ours, so that neither service can reach the other through it.
"""
