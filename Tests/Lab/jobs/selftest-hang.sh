# For Tests/Lab/selftest: never ends
# suite: no
echo "hanging"
sleep 1000000
