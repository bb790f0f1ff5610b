#!/bin/sh
# lists.sh PROJECT FOLDER: a collection with one name in each list that categories name, and the table of it.
set -eu
cd "$1"
lists=$(sed -n 's/^    lists: \[\(.*\)\]$/\1/p' inventories/common/group_vars/gateway/gateway.yml | tr -d ' ' | tr ',' '\n')
for list in $lists; do
  mkdir -p "$2/lists/$list"
  echo "$list.example.com" | tr _ - > "$2/lists/$list/domains"
done
kepil gateway import-lists --out "$2/categories.mdb" "$2/lists"
