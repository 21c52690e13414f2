# For Tests/Lab/selftest: ends with the status it is told
# suite: no
# timeout: 60
echo "status ${SELFTEST_STATUS:-0} asked for"
((${SELFTEST_STATUS:-0} == 0)) || exit "$SELFTEST_STATUS"
