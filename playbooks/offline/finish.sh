#!/usr/bin/env bash
# Finishes the root file system of the offline root's host: finish.sh ROOT FOLDER HOST PACKAGE/SUITE... Called by
# mmdebstrap, while apt's lists are still there.
set -euo pipefail
root=$1 folder=$2 host=$3
shift 3
here=$(dirname "$(readlink -f "$0")")
inside() { chroot "$root" "$@"; }

restore() {
  rm "$root$1"
  inside dpkg-divert --quiet --local --rename --remove "$1"
}

# As role gost tells apt of it, so that the role finds nothing to change.
for package in "$@"; do
  inside sh -s "${package#*/}" "${package%/*}" <"$here/../../roles/gost/files/suite.sh"
done
if [ $# -gt 0 ]; then
  inside apt-get -qq update
  DEBIAN_FRONTEND=noninteractive inside apt-get -qq install -y --no-install-recommends "${@%/*}" >/dev/null
fi

# What the bill is made of. The SHA-256 of each package is the one in the index that Debian signed.
format='${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n'
inside dpkg-query --show --showformat "$format" >"$folder/installed"
inside dpkg-query --show --showformat '${Package}:${Architecture}=${Version}\n' | sed 's/:all=/=/' \
  | xargs chroot "$root" apt-cache show >"$folder/available"

# The desk: the project's own package, ansible-core and pkilint, on Debian's libraries.
inside python3 -m venv --system-site-packages --without-pip /opt/kepil/desk
cp -r "$folder/wheels" "$root/tmp/wheels"
for wheel in "$root"/tmp/wheels/*.whl; do
  inside /opt/kepil/desk/bin/python3 -m installer --no-compile-bytecode "/tmp/wheels/$(basename "$wheel")"
done
rm -r "$root/tmp/wheels"
printf 'PATH=/opt/kepil/desk/bin:$PATH\n' >"$root/etc/profile.d/kepil.sh"

# No network: the kernel has no driver for a card, and nothing of systemd's looks for one.
echo "$host" >"$root/etc/hostname"
printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
rm -f "$root/etc/resolv.conf"
rm -rf "$root"/usr/lib/modules/*/kernel/{drivers/{atm,bluetooth,firewire,infiniband,isdn,net,nfc,staging},net/{bluetooth,mac80211,wireless}}
inside systemctl --quiet disable chrony.service apt-daily.timer apt-daily-upgrade.timer
inside systemctl --quiet mask systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service
restore /usr/bin/py3compile
restore /usr/sbin/update-initramfs
for version in "$root"/usr/lib/modules/*; do
  inside depmod "$(basename "$version")"
  inside update-initramfs -c -k "$(basename "$version")" >/dev/null
done

# Nobody can log in until the console was asked for a password (systemd-firstboot(1)); the first start enables nothing.
echo uninitialized >"$root/etc/machine-id"
install -D -m 0644 /dev/stdin "$root/etc/systemd/system-preset/00-kepil.preset" <<<'disable *'
sed -i 's/^root:[^:]*:/root:!unprovisioned:/' "$root/etc/shadow"

# What differs from one build to the next, and nobody needs.
find "$root" -xdev -name __pycache__ -type d -prune -exec rm -r {} +
rm -rf "$root"/var/log/{apt,alternatives.log,bootstrap.log,dpkg.log,fontconfig.log} "$root"/var/cache/{fontconfig,ldconfig,debconf}/* \
  "$root"/etc/ssh/ssh_host_* "$root"/var/lib/dbus/machine-id "$root"/etc/dpkg/dpkg.cfg.d/99mmdebstrap "$root"/var/cache/apt/*.bin

# The kernel starts from beside the file system, not from within.
cp "$root"/boot/vmlinuz-* "$folder/vmlinuz"
cp "$root"/boot/initrd.img-* "$folder/initrd.img"
cp "$root/usr/lib/systemd/boot/efi/systemd-bootx64.efi" "$folder/"
rm -f "$root"/boot/{initrd.img,vmlinuz}-* "$root"/{vmlinuz,initrd.img}{,.old}
