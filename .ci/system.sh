#!/usr/bin/env bash
# See to it that Linux has what pip cannot bring: the libraries behind Qt's xcb platform and OpenGL, and Xvfb.
#
# Silent and quick when nothing is missing. On Debian and Ubuntu, as root or with sudo, the missing packages are
# installed; otherwise the exact line to run is printed and the script stops with 1.
set -euo pipefail

# Each library that PyQt6's wheels and vispy load from the system, and the package that has it on Debian 12 and
# Ubuntu 22.04 and 24.04 (where libglib2.0-0 stands for libglib2.0-0t64).
LIBRARIES='
libGL.so.1               libgl1
libEGL.so.1              libegl1
libGLX_mesa.so.0         libglx-mesa0
libfontconfig.so.1       libfontconfig1
libglib-2.0.so.0         libglib2.0-0
libdbus-1.so.3           libdbus-1-3
libgssapi_krb5.so.2      libgssapi-krb5-2
libxkbcommon-x11.so.0    libxkbcommon-x11-0
libX11-xcb.so.1          libx11-xcb1
libxcb-cursor.so.0       libxcb-cursor0
libxcb-icccm.so.4        libxcb-icccm4
libxcb-keysyms.so.1      libxcb-keysyms1
libxcb-randr.so.0        libxcb-randr0
libxcb-shape.so.0        libxcb-shape0
libxcb-sync.so.1         libxcb-sync1
libxcb-xfixes.so.0       libxcb-xfixes0
libxcb-xkb.so.1          libxcb-xkb1
'

if [ "$(uname -s)" != Linux ]; then
    command -v Xvfb >/dev/null || echo "Not Linux: Qt brings what it needs, and the tests open windows on your screen."
    exit 0
fi

PATH="$PATH:/usr/sbin:/sbin"   # ldconfig is there, and not on every user's PATH
loadable=$(ldconfig -p)
missing=()
while read -r library package; do
    [[ -z $library || $loadable == *"$library "* ]] || missing+=("$package")
done <<<"$LIBRARIES"
command -v Xvfb >/dev/null || missing+=(xvfb)
if ! "${PYTHON:=python3}" -c 'import ensurepip' 2>/dev/null; then   # Debian keeps venv's half in a package of its own
    missing+=("$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
fi
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "This Linux has no apt-get, so napari_covseg installs nothing here. It needs what Debian calls: ${missing[*]}"
    exit 0
fi

update=(apt-get update)
install=(apt-get install --yes --no-install-recommends "${missing[@]}")
if [ "$(id -u)" = 0 ]; then
    as_root=(env DEBIAN_FRONTEND=noninteractive)
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root=(sudo env DEBIAN_FRONTEND=noninteractive)
else
    command -v sudo >/dev/null && run="sudo sh -c" || run="su -c"
    echo "System packages are missing that only root can install. Run this line, then try again:"
    echo
    echo "    $run '${update[*]} && ${install[*]}'"
    echo
    exit 1
fi
echo "Installing system packages: ${missing[*]}"
"${as_root[@]}" "${update[@]}" --quiet=2
"${as_root[@]}" "${install[@]}" --quiet=2 >/dev/null
