# Writes an RPM spec that packages a Debian root anew: a subpackage for every Debian package, and "SUITE-generated"
# for what their installation made. Reads, in this order and named so, the files
#
#   passwd group     the root's own
#   inventory        every path: type, mode, uid, gid, name, separated by tabs
#   packages         name, version, architecture, Pre-Depends, Depends, Provides, summary, separated by tabs
#   also             extra Provides: package, name (names of the same things in Fedora, which specs require)
#   LISTS/NAME.list, LISTS/NAME.conffiles   what dpkg says of each package
#
# Variables: suite and number (of the release), lists (the folder above), out (the folder for NAME.files and the spec).

# Where a path of a package really is, on a root with /usr merged.
function merged(path) {
    if (path ~ "^/(bin|sbin|lib|lib64|lib32|libx32)/") return "/usr" path
    return path
}

# A path as %files takes it: a pattern that only the path itself matches. A backslash stands for itself.
function escaped(path) {
    gsub(/[[*?{]/, "[&]", path)
    gsub(/%/, "%%", path)
    return path ~ / / ? "\"" path "\"" : path
}

function file_line(path, config,    attributes) {
    attributes = sprintf("%%attr(%s, %s, %s) ", kind[path] == "l" ? "-" : mode[path], owner[path], group_of[path])
    if (kind[path] == "d") attributes = "%dir " attributes
    if (path in ghost) attributes = "%ghost " attributes
    else if (kind[path] == "f" && config) attributes = "%config(noreplace) " attributes
    return attributes escaped(path)
}

# deb relations to the names of installed packages, for Requires.
function requires(package, relations,    count, i, alternatives, number, j, name, seen, list) {
    count = split(relations, parts, /, */)
    for (i = 1; i <= count; i++) {
        number = split(parts[i], alternatives, / *\| */)
        for (j = 1; j <= number; j++) {
            name = alternatives[j]
            sub(/[ (:\[].*/, "", name)
            if (!(name in version)) name = provider[name]
            if (name == "") continue
            if (name != package && !(name in seen)) { seen[name] = 1; list = list "Requires: " name "\n" }
            break
        }
    }
    return list
}

BEGIN {
    FS = "\t"
    # What other packages' scriptlets write anew; on Fedora and RHEL too these are owned without their content.
    ghost["/etc/ld.so.cache"] = ghost["/var/cache/ldconfig/aux-cache"] = ghost["/var/lib/systemd/catalog/database"] = 1
}
FILENAME ~ /\/passwd$/ { split($0, f, ":"); user_name[f[3]] = f[1]; next }
FILENAME ~ /\/group$/ { split($0, f, ":"); group_name[f[3]] = f[1]; next }
FILENAME ~ /\/inventory$/ {
    kind[$5] = $1; mode[$5] = sprintf("%04d", $2)
    owner[$5] = ($3 in user_name) ? user_name[$3] : $3
    group_of[$5] = ($4 in group_name) ? group_name[$4] : $4
    order[++paths] = $5
    next
}
FILENAME ~ /\/packages$/ {
    names[++packages] = $1
    full = $2
    sub(/^[0-9]+:/, "", full)
    if (match(full, /-[^-]*$/)) { release[$1] = substr(full, RSTART + 1); full = substr(full, 1, RSTART - 1) } else release[$1] = 0
    gsub(/-/, "_", full)
    version[$1] = full
    architecture[$1] = $3 == "all" ? "noarch" : "x86_64"
    relations[$1] = $4 ", " $5
    summary[$1] = $7
    count = split($6, virtual, /, */)
    for (i = 1; i <= count; i++) {
        sub(/[ (].*/, "", virtual[i])
        if (virtual[i] == "" || virtual[i] == $1) continue
        also[$1] = also[$1] "Provides: " virtual[i] "\n"
        provider[virtual[i]] = $1
    }
    next
}
FILENAME ~ /\/also$/ { also[$1] = also[$1] "Provides: " $2 (($2 ~ /[()]|^\//) ? "" : " = " version[$1]) "\n"; next }

END {
    spec = out "/base.spec"
    title = "Debian " suite " as RPM packages"
    printf "Name: base\nVersion: %s\nRelease: 1\nSummary: %s\nLicense: various\n\n", number, title >spec
    printf "%%description\n%s.\n\n%%install\ncp -a %%{root}/. %%{buildroot}/\n\n", title >spec
    for (p = 1; p <= packages; p++) {
        name = names[p]
        manifest = out "/" name ".files"
        printf "" >manifest
        while ((getline path <(lists "/" name ".conffiles")) > 0) config[merged(path)] = 1
        while ((getline path <(lists "/" name ".list")) > 0) {
            path = merged(path)
            if (!(path in kind) || (name, path) in listed) continue
            if (kind[path] != "d" && path in owned) continue
            listed[name, path] = owned[path] = 1
            print file_line(path, path in config) >manifest
            if (kind[path] != "d" && path ~ "^/usr/s?bin/") {
                alias = substr(path, 5)
                also[name] = also[name] "Provides: " alias "\n"
            }
        }
        close(manifest)
        printf "%%package -n %s\nVersion: %s\nRelease: %s\n", name, version[name], release[name] >spec
        printf "Summary: %s\n%s", summary[name], architecture[name] == "noarch" ? "BuildArch: noarch\n" : "" >spec
        printf "%s%s\n", also[name], requires(name, relations[name]) >spec
        printf "%%description -n %s\n%s.\n\n%%files -n %s -f %s\n\n", name, summary[name], name, manifest >spec
    }
    name = suite "-generated"
    manifest = out "/" name ".files"
    printf "" >manifest
    for (i = 1; i <= paths; i++) {
        path = order[i]
        if (!(path in owned)) print file_line(path, path ~ "^/etc/") >manifest
    }
    printf "%%package -n %s\nSummary: What the packages' installation made\nAutoReqProv: no\n\n", name >spec
    printf "%%description -n %s\nWhat the packages' installation made.\n\n", name >spec
    printf "%%files -n %s -f %s\n", name, manifest >spec
}
