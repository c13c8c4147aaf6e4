#!/usr/bin/env bash
# Pictures of a report in headless Chromium: desk and phone, light and dark.
#   shoot.sh REPORT.html FOLDER
set -euo pipefail
report=$(realpath "$1") out=$2
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
mkdir -p "$out"
for scheme in light dark; do
    flags=()
    [ $scheme = dark ] && flags=(--blink-settings=preferredColorScheme=0) || flags=(--blink-settings=preferredColorScheme=1)
    for size in desk:1200,2600 phone:500,4200; do
        "$chromium" --headless --no-sandbox --disable-gpu --hide-scrollbars --virtual-time-budget=4000 \
            "${flags[@]}" --window-size="${size#*:}" --screenshot="$out/${size%:*}-$scheme.png" "file://$report" 2>"$out/${size%:*}-$scheme.log"
    done
done
