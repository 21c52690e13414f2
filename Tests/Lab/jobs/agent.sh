# For runs of several guests: does what the host's side orders, see harness/orders.py
# suite: no
# timeout: 3600
orders=$LAB_SHARE/orders
# A sleep that needs no process, of which a guest would otherwise make ten in a second.
mkfifo "$LAB_STATE/never"
exec {never}<> "$LAB_STATE/never"

# carry_out NUMBER: in a subshell, so that what one order does wrong ends that order alone.
carry_out() {
    local base=$orders/$1 status=0
    (
        trap 'code=$?; [[ -z $reason ]] || echo "$reason"; exit $code' EXIT
        # shellcheck disable=SC1090
        source "$base.go"
    ) > "$base.out" 2>&1 < /dev/null || status=$?
    echo "$status" > "$base.rc~"
    mv "$base.rc~" "$base.rc"
}

number=1
touch "$orders/ready"
until [[ -e $orders/halt ]]; do
    printf -v next '%05d' "$number"
    if [[ -e $orders/$next.go ]]; then
        carry_out "$next" &
        ((++number))
    else
        read -rt 0.05 -u "$never"
    fi
done
