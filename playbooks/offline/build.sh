#!/usr/bin/env bash
# Builds the disk image of the offline root's host: build.sh FOLDER IMAGE PACKAGE... A package of another suite than $SUITE is
# written PACKAGE/SUITE. FOLDER has wheels/; it gets IMAGE, and `installed` and `available`, which the bill is made of.
# Two builds of the same packages are the same to the byte: mmdebstrap, tar2sqfs, mkfs.vfat and mtools keep to
# SOURCE_DATE_EPOCH and to names' order, and finish.sh removes what does not. (mmdebstrap's own cleanup would empty machine-id.)
set -euo pipefail
export SOURCE_DATE_EPOCH MIRROR SUITE TZ=UTC LC_ALL=C
here=$(dirname "$(readlink -f "$0")")
folder=$1 image=$2
shift 2

main=() other=()
for package in "$@"; do
  case $package in
    */*) other+=("$package") ;;
    *) main+=("$package") ;;
  esac
done
IFS=,
include="${main[*]}"
unset IFS

echo "building $image: ${#main[@]} packages and what they need"
mmdebstrap --quiet --mode=root --variant=minbase --include="$include" --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt=force-unsafe-io --skip=cleanup/reproducible \
  --essential-hook="bash $here/begin.sh \"\$1\"" \
  --customize-hook="bash $here/finish.sh \"\$1\" $folder ${image%.img} ${other[*]}" \
  "$SUITE" - \
  "deb $MIRROR $SUITE main" "deb $MIRROR $SUITE-updates main" "deb $MIRROR-security $SUITE-security main" \
  | tar2sqfs --quiet --force --compressor zstd --comp-extra level=9 --defaults "mtime=$SOURCE_DATE_EPOCH" "$folder/root.squashfs"

# One partition, which UEFI starts from and which the system is read from.
esp=$folder/esp.img
megabytes=$((($(du --apparent-size -cm "$folder"/{root.squashfs,vmlinuz,initrd.img} | tail -n 1 | cut -f 1) * 102 / 100) + 40))
truncate -s "${megabytes}M" "$esp"
mkfs.vfat --invariant -F 32 -i 4b657069 -n KEPIL "$esp" >/dev/null
find "$folder" -maxdepth 1 -type f -exec touch --date="@$SOURCE_DATE_EPOCH" {} +
cat >"$folder/loader.conf" <<'END'
title The offline root's host
linux /vmlinuz
initrd /initrd.img
options boot=live toram quiet
END
echo 'timeout 0' >"$folder/timeout.conf"
touch --date="@$SOURCE_DATE_EPOCH" "$folder"/{loader,timeout}.conf
mmd -i "$esp" ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries ::/live
put() { mcopy -m -i "$esp" "$folder/$1" "::$2"; }
put systemd-bootx64.efi /EFI/BOOT/BOOTX64.EFI
put timeout.conf /loader/loader.conf
put loader.conf /loader/entries/kepil.conf
put vmlinuz /vmlinuz
put initrd.img /initrd.img
put root.squashfs /live/filesystem.squashfs

truncate -s "$((megabytes + 2))M" "$folder/$image"
sfdisk --quiet --no-reread "$folder/$image" <<END
label: gpt
label-id: 4B657069-6C00-4000-8000-000000000001
start=2048, size=$((megabytes * 2048)), type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=4B657069-6C00-4000-8000-000000000002
END
dd if="$esp" of="$folder/$image" bs=1M seek=1 conv=notrunc,sparse status=none
