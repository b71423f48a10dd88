# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the scripts that provide kernels share. A kernel is a directory that
# scripts/kernel-image describes. Source it after lib.sh.

# What a guest of the test harness needs beyond what is built in.
boot_modules=(virtio_pci virtio_console 9pnet_virtio 9p)
# What kvmchan is compared with.
extra_modules=(virtio_net vmw_vsock_virtio_transport)

# Of Debian's kernel that the installed headers are for.
header_release() {
	local package
	# shellcheck disable=SC2016 # dpkg's own variable
	package=$(dpkg-query -W -f '${Depends}\n' linux-headers-amd64 2>/dev/null |
		grep -o 'linux-headers-[^ ,]*-amd64' | head -n1) ||
		die "linux-headers-amd64 is not installed: run scripts/setup"
	printf '%s\n' "${package#linux-headers-}"
}

# A bzImage carries the compressed kernel at payload_offset behind its
# real-mode sectors (Documentation/arch/x86/boot.rst). The build appends four
# bytes, the uncompressed size, to every format but gzip, which ends in it.
extract_vmlinux() { # extract_vmlinux VMLINUZ > VMLINUX
	local file=$1 sectors offset length start magic
	field() { od -An -v -t "u$2" -j "$1" -N "$2" "$file" | tr -d ' '; }
	[[ $(od -An -c -j 514 -N 4 "$file" | tr -d ' ') == HdrS ]] || die "$file is no bzImage"
	sectors=$(field 497 1)
	offset=$(field 584 4)
	length=$(field 588 4)
	start=$(((sectors + 1) * 512 + offset))
	payload() {
		dd if="$file" bs=1M iflag=skip_bytes,count_bytes skip="$start" count="$1" status=none
	}
	magic=$(od -An -t x1 -j "$start" -N 6 "$file" | tr -d ' ')
	case $magic in
	fd377a585a00) payload $((length - 4)) | xz -dc ;;
	28b52ffd*) payload $((length - 4)) | zstd -dc ;;
	1f8b*) payload "$length" | gzip -dc ;;
	*) die "$file: payload with unknown magic $magic" ;;
	esac
}

# Modules with all that they need, but without what is in a directory already.
# strip: what strips the architecture's.
copy_modules() { # copy_modules ROOT RELEASE TO BUT MODULE...
	local root=$1 release=$2 to=$3 but=$4 module path number=0
	mkdir "$to"
	for module in "${@:5}"; do
		modprobe -d "$root" -S "$release" --show-depends "$module"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r path; do
		if [[ $path == *.xz ]]; then
			xz -d "$path"
			path=${path%.xz}
		fi
		! compgen -G "$but/[0-9]*-${path##*/}" >/dev/null || continue
		number=$((number + 1))
		"${strip:-strip}" --strip-debug -o "$to/$(printf %02d-%s "$number" "${path##*/}")" "$path"
	done
}

first_of() { # first_of FILE...: the one that is there
	local file
	for file in "$@"; do
		[[ ! -e $file ]] || { printf '%s\n' "$file" && return; }
	done
	die "there is none of $*"
}

# Out of an unpacked kernel package, which newer releases lay out otherwise.
assemble_image() { # assemble_image ROOT RELEASE DIR
	local root=$1 release=$2 dir=$3
	[[ -e $root/lib ]] || ln -s usr/lib "$root/lib"
	cp "$(first_of "$root/boot/vmlinuz-$release" "$root/lib/modules/$release/vmlinuz")" "$dir/vmlinuz"
	extract_vmlinux "$dir/vmlinuz" >"$dir/vmlinux"
	depmod -b "$root" "$release"
	copy_modules "$root" "$release" "$dir/modules" /dev/null "${boot_modules[@]}"
	copy_modules "$root" "$release" "$dir/extra" "$dir/modules" "${extra_modules[@]}"
}

write_kbuild() { # write_kbuild DIR COMMAND: DIR/kbuild is make where modules are built against
	printf '#!/bin/bash\n%s\n' "$2" >"$1/kbuild"
	chmod 755 "$1/kbuild"
}
