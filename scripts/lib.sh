# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Shared by the scripts beside it: source it, it runs nothing by itself.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export repo

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
	say "$@"
	exit 1
}

# Where everything that is downloaded and may be thrown away lives.
cache_dir() {
	printf '%s\n' "${KVMCHAN_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/kvmchan}"
}

# COMMAND, whose malloc() gets huge pages: clang spends a quarter of its time
# on the faults of small ones.
with_huge_pages() { # with_huge_pages COMMAND...
	GLIBC_TUNABLES=glibc.malloc.hugetlb=1 "$@"
}

# The file that marks a cached thing as complete, and what it was made from.
cached() { # cached DIR STAMP
	[[ -f $1/.stamp && $(<"$1/.stamp") == "$2" ]]
}

# Runs COMMAND with a new directory as its last argument, and puts that in the
# place of DIR once it is complete: a reader never sees half of it. Not to be
# called in a condition, where bash ignores "set -e" in all that runs below.
fill_cache() { # fill_cache DIR STAMP COMMAND...
	local dir=$1 stamp=$2
	shift 2
	mkdir -p "${dir%/*}"
	(
		flock 9
		cached "$dir" "$stamp" && exit
		new=$(mktemp -d "$dir.XXXXXX")
		trap 'rm -rf "$new"' EXIT
		chmod 755 "$new"
		"$@" "$new"
		printf '%s\n' "$stamp" >"$new/.stamp"
		rm -rf "$dir"
		mv -T "$new" "$dir"
	) 9>"$dir.lock"
}

# Downloads PACKAGE (or PACKAGE=VERSION) and unpacks it into DIR, without
# installing it.
unpack_deb() { # unpack_deb PACKAGE DIR
	local package=$1 dir=$2 tmp
	tmp=$(mktemp -d)
	# As root, apt downloads as this user, and warns where it cannot.
	[[ $EUID != 0 ]] || chown _apt "$tmp"
	(cd "$tmp" && apt-get -qq download "$package") || {
		rm -rf "$tmp"
		return 1
	}
	dpkg-deb -x "$tmp"/*.deb "$dir" || {
		rm -rf "$tmp"
		return 1
	}
	rm -rf "$tmp"
}

# From here to end_apt_of, apt-get and apt-cache know another architecture or
# release, from lists in a place of their own.
begin_apt_of() { # begin_apt_of ARCHITECTURE 'SUITE COMPONENT'...
	local arch=$1 apt suite
	shift
	# Where apt's own user can write, too.
	apt=$(mktemp -d)
	chmod 755 "$apt"
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
	: >"$apt/status"
	for suite in "$@"; do
		printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/%s %s\n' \
			"$([[ $suite == *-security* ]] && echo debian-security || echo debian)" "$suite"
	done >"$apt/sources.list"
	cat >"$apt/apt.conf" <<-EOF
		APT::Architecture "$arch";
		APT::Architectures { "$arch"; };
		Dir::State::Lists "$apt/lists";
		Dir::State::Status "$apt/status";
		Dir::Cache "$apt/cache";
		Dir::Etc::SourceList "$apt/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::Etc::PreferencesParts "/dev/null";
	EOF
	[[ $EUID != 0 ]] || chown -R _apt "$apt/lists" "$apt/cache"
	export APT_CONFIG=$apt/apt.conf
	apt-get -qq update
}

end_apt_of() {
	rm -rf "${APT_CONFIG%/*}"
	unset APT_CONFIG
}

package_version() { # of an installed package, or nothing
	# shellcheck disable=SC2016 # dpkg's own variable
	{ dpkg-query -W -f '${db:Status-Abbrev}${Version}\n' "$1" 2>/dev/null || true; } | sed -n 's/^ii *//p'
}

candidate_version() { # what apt would fetch, or nothing
	apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p' | grep -vx '(none)' || true
}
