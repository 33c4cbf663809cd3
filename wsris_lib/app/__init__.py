"""A page to try: a picture, a sentence, and what every trained model of a profile answers (`python -m wsris_lib app`).

Plain HTML and one small JSON interface, served by the standard library alone. Nothing is loaded from a network, so the
page works wherever the lessons do, and there is no other package to install, to pin and to update.
"""
