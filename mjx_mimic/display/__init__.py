"""Videos, pictures and live views.

Imports nothing: commands choose the GL library through `display.gl` before MuJoCo is imported.
"""
