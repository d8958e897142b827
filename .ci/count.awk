# .ci/count.awk: counts the tests in the log of one step of ./test, and prints PASSED, FAILED and SKIPPED as three numbers.
#
#   awk -f .ci/count.awk -v format=FORMAT -v status=STATUS LOG
#
# STATUS is the exit status of the step. FORMAT is the program that wrote the log:
#   cargo  cargo test: a line "test result:" for each test binary
#   node   node --test: "# pass 3" in a pipe, "ℹ pass 3" on a terminal
#   tap    lines that begin with "ok", "not ok" or "skip"
#   one    a command that is a single check: its exit status is the result
#
# A step that fails without a failed test counts as one failure: it did not compile, crashed or was stopped. So does a step
# that ends with success and ran no test.

# Returns the number in front of `word` in this line.
function before(word) { return match($0, "[0-9]+ " word) ? substr($0, RSTART) + 0 : 0 }

format == "cargo" && /^test result:/ { passed += before("passed"); failed += before("failed"); skipped += before("ignored") }

format == "node" && /^(#|ℹ) pass [0-9]+$/ { passed += $3 }
format == "node" && /^(#|ℹ) fail [0-9]+$/ { failed += $3 }
format == "node" && /^(#|ℹ) skipped [0-9]+$/ { skipped += $3 }

format == "tap" && /^ok / { passed++ }
format == "tap" && /^not ok / { failed++ }
format == "tap" && /^skip / { skipped++ }

END {
    if (format == "one" && status == 0) passed = 1
    if (status != 0 && failed == 0) failed = 1
    if (passed + failed + skipped == 0) {
        print "test: the step succeeded without running any test" > "/dev/stderr"
        failed = 1
    }
    print passed + 0, failed + 0, skipped + 0
}
