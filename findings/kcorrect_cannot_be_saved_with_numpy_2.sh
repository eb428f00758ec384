#!/usr/bin/env bash
# kcorrect 5.1.9: with NumPy 2, which its metadata permit, a Kcorrect object cannot be saved: tofits() ends in an
# AttributeError (np.compat), after it has written the templates, so that a file is there which fromfits does not read.
# Its range of redshift would be stored as two integers. Making one takes up to a minute, each time.
#
# Seen:
#   tofits: AttributeError; a file is left: True; reading it: KeyError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q kcorrect==5.1.9 "astropy==7.0.2" "numpy==2.1.3" "scipy==1.16.3"
cat > "$folder/ask.py" <<'PYTHON'
import os
import sys

from kcorrect.kcorrect import Kcorrect

path = os.path.join(sys.argv[1], "saved.fits")
kc = Kcorrect(responses=["sdss_r0"], redshift_range=[0.0, 0.5], nredshift=20)
seen = []
for name, do in (("tofits", kc.tofits), ("reading it", lambda filename: Kcorrect(filename=filename))):
    try:
        do(filename=path)
        seen.append("no error")
    except Exception as error:
        seen.append(type(error).__name__)
    print(f"{name}: {seen[-1]}; a file is left: {os.path.exists(path)}")
raise SystemExit(not (seen == ["AttributeError", "KeyError"] and os.path.exists(path)))
PYTHON
"$folder/venv/bin/python" "$folder/ask.py" "$folder"
