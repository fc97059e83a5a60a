"""The page of ``noisewise serve``: photographs cleaned, networks hardened and audited in a browser.

One file for each tab; what the tabs share is in ``job.py``, and what a visitor may ask for in ``limits.py``. All but
``limits.py``, ``sweeping.py`` and ``server.py`` need the extra ``demo``.
"""
