"""Medians, ratios, bars and the document, on a handful of records made by hand: `report.py --selftest`."""

import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import bars
import fio
import plans
import plot
import records as data
import report


def run(subject="tcmud", round=1, backend="rbd-instant", pattern="randread", depth=32, variant="", **figures):
    return {"round": round, "subject": subject, "variant": variant, "backend": backend, "luns": 1, "pattern": pattern,
            "block": 4096, "depth": depth, "iops": None, "p50_us": None, "cpu_us": None, **figures}


def idle(subject, backend, luns, variant="", **figures):
    return {"kind": "idle", "subject": subject, "variant": variant, "backend": backend, "luns": luns, **figures}


def reason(text, *cases):
    return bars.Reason(cases, text, "a machine", "a day")


def states(records, name):
    """Case to state of one bar."""
    return {outcome.name.removeprefix(name + "/"): outcome.state for outcome in bars.judge(records)
            if outcome.bar.name == name}


class Records(unittest.TestCase):
    def test_a_median_leaves_out_what_was_not_measured(self):
        some = [run(round=number, iops=value) for number, value in enumerate([5, None, 1, 3])]
        self.assertEqual(data.spread(some, "iops"), (3, 1, 5, (5, 1, 3)))
        self.assertIsNone(data.spread(some, "cpu_us"))
        self.assertIsNone(data.spread([], "iops"))

    def test_a_ratio_is_formed_within_a_round(self):
        # A machine that is twice as fast in round 2 changes nothing; of all medians the ratio would be 1.5.
        ours = [run(round=1, iops=200), run(round=2, iops=400), run(round=3, iops=900)]
        theirs = [run("tcmu-runner", 1, iops=100), run("tcmu-runner", 2, iops=200), run("tcmu-runner", 4, iops=1)]
        self.assertEqual(data.ratios(ours, theirs, "iops"), (2, 2, 2, (2, 2)))
        self.assertIsNone(data.ratios(ours, [], "iops"))
        self.assertIsNone(data.ratios(ours, [run("tcmu-runner", 1, iops=0)], "iops"))

    def test_an_absent_kind_and_variant_are_the_defaults(self):
        self.assertEqual(len(data.select([{"subject": "tcmud"}], kind="run", variant="")), 1)
        self.assertEqual(data.select([{"kind": "lab"}], kind="run"), [])


    def test_the_best_of_several_variants_is_taken_per_round(self):
        some = [run("fio", 1, iops=5), run("fio", 1, variant="batch=16", iops=7), run("fio", 2, iops=9)]
        self.assertEqual([one["iops"] for one in data.best(some)], [7, 9])

    def test_a_record_without_a_suite_is_of_its_backends(self):
        for backend, suite in (("rbd-instant", "instant"), ("qcow", "file"), ("rbd", "rbd")):
            self.assertEqual(data.suite(run(backend=backend)), suite)
        self.assertEqual(data.select([run(backend="rbd") | {"suite": "tuning"}], suite="rbd"), [])


class Bars(unittest.TestCase):
    def test_without_records_nothing_is_met(self):
        self.assertEqual({outcome.state for outcome in bars.judge([])}, {bars.NOT_MEASURED})

    def test_on_the_limit_is_met_and_beyond_it_missed(self):
        for cpu, state in ((1.0, bars.MET), (1.01, bars.MISSED), (None, bars.NOT_MEASURED)):
            self.assertEqual(states([run(cpu_us=cpu)], "isolated-cpu")["rbd-instant/randread/32"], state)

    def test_one_of_two_limits_is_enough(self):
        peer = run("tcmu-runner", iops=100, cpu_us=2.0)
        for iops, cpu, state in (
                (200, 2.0, bars.MET), (100, 1.0, bars.MET), (199, 1.1, bars.MISSED), (199, None, bars.NOT_MEASURED),
                (None, None, bars.NOT_MEASURED), (200, None, bars.MET)):
            with self.subTest(iops=iops, cpu=cpu):
                found = states([run(iops=iops, cpu_us=cpu), peer], "isolated-original")
                self.assertEqual(found["rbd-instant/randread/32"], state)
                self.assertEqual(found["rbd-instant/randwrite/32"], bars.NOT_MEASURED)
                self.assertEqual(found["rbd-handoff/randread/32"], bars.NOT_MEASURED)

    def test_a_ratio_needs_the_peer(self):
        self.assertEqual(states([run(iops=1e6, cpu_us=0.1)], "isolated-original")["rbd-instant/randread/32"],
                         bars.NOT_MEASURED)

    def test_the_peer_of_a_file_is_the_qcow_handler(self):
        ours = run(backend="file", iops=130, cpu_us=4)
        wrong = run("tcmu-runner", backend="file", iops=1000, cpu_us=1)
        right = run("tcmu-runner", backend="qcow", iops=100, cpu_us=8)
        self.assertEqual(states([ours, wrong], "file-original")["file/randread/32"], bars.NOT_MEASURED)
        self.assertEqual(states([ours, wrong, right], "file-original")["file/randread/32"], bars.MET)
        self.assertEqual(states([ours, wrong, right], "file-cpu")["file/randread/32"], bars.MET)

    def test_a_file_is_held_against_the_faster_way_to_use_fio(self):
        ours, slow = run(backend="file", iops=100), run("fio", backend="file", iops=100)
        quick = run("fio", backend="file", variant="batch=16", iops=120)
        self.assertEqual(states([ours, slow], "file-fio")["file/randread/32"], bars.MET)
        self.assertEqual(states([ours, slow, quick], "file-fio")["file/randread/32"], bars.MISSED)

    def test_other_suites_of_the_same_round_are_not_what_a_bar_compares_with(self):
        ours = run(backend="rbd", iops=100, cpu_us=1)
        peer = run("tcmu-runner", backend="rbd", iops=100, cpu_us=2)
        self.assertEqual(states([ours, peer | {"suite": "tuning"}], "rbd-cpu")["rbd/randread/32"], bars.NOT_MEASURED)
        self.assertEqual(states([ours, peer], "rbd-cpu")["rbd/randread/32"], bars.MET)

    def test_the_default_is_the_other_side_of_a_named_spin(self):
        peer = run("tcmu-runner", depth=1, pattern=bars.PAUSED[0], p50_us=100)
        default = run(depth=1, pattern=bars.PAUSED[0], p50_us=60)
        case = f"rbd-instant/{bars.PAUSED[0]}/1"
        for named, on, off in (
                (None, bars.NOT_MEASURED, bars.NOT_MEASURED),
                (run(depth=1, pattern=bars.PAUSED[0], p50_us=110, variant="spin=0"), bars.MET, bars.MISSED),
                (run(depth=1, pattern=bars.PAUSED[0], p50_us=71, variant="spin=32"), bars.MISSED, bars.MET)):
            some = [peer, default] + ([named] if named else [])
            self.assertEqual(states(some, "latency-spin-on")[case], on)
            self.assertEqual(states(some, "latency-spin-off")[case], off)

    def test_other_blocks_and_more_units_are_not_what_the_bars_speak_of(self):
        for other in (run(cpu_us=0.5) | {"block": 65536}, run(cpu_us=0.5) | {"luns": 4}):
            self.assertEqual(states([other], "isolated-cpu")["rbd-instant/randread/32"], bars.NOT_MEASURED)

    def test_idle_records(self):
        some = [
            idle("tcmud", "rbd", 50, threads_per_lun=12, rss_per_lun_kib=700),
            idle("tcmu-runner", "rbd", 50, threads_per_lun=17, rss_per_lun_kib=1000),
            idle("tcmud", "rbd", 50, "grouped", threads_per_lun=2.5),
            idle("tcmud", "mem", 100, cpu_ms_in_10s=0)]
        self.assertEqual(states(some, "idle-rbd-threads"), {"rbd": bars.MISSED})
        self.assertEqual(states(some, "idle-rbd-memory"), {"rbd": bars.MET})
        self.assertEqual(states(some, "idle-rbd-grouped"), {"rbd": bars.MISSED})
        self.assertEqual(states(some, "idle-mem-cpu"), {"mem": bars.MET})

    def test_rounds_that_meet_a_limit_are_counted(self):
        some = [run(round=number, cpu_us=value) for number, value in enumerate([0.9, 0.8, 1.2])]
        outcome = next(one for one in bars.judge(some) if one.name == "isolated-cpu/rbd-instant/randread/32")
        self.assertEqual((outcome.state, outcome.rounds), (bars.MET, (2, 3)))

    def test_names_are_unique(self):
        names = [outcome.name for outcome in bars.judge([])]
        self.assertEqual(len(names), len(set(names)))


class Document(unittest.TestCase):
    missed = [run(cpu_us=1.5), run(pattern="randwrite", cpu_us=1.25)]
    case = "isolated-cpu/rbd-instant/randwrite/32"

    def test_a_reason_stands_with_the_cases_it_explains_and_tells_where_it_was_found(self):
        reasons = [reason("Only\nwrites.", self.case), reason("Every command waits.", "isolated-cpu/*")]
        text = report.document(self.missed, {}, reasons)
        self.assertIn("- `isolated-cpu/rbd-instant/randread/32`: Every command waits. (a machine, a day)", text)
        self.assertIn(f"- `{self.case}`: Only writes. (a machine, a day)", text)

    def test_a_missed_bar_without_reason_is_a_problem(self):
        outcomes = bars.judge(self.missed)
        self.assertIn("no reason recorded", report.document(self.missed, {}, []))
        self.assertEqual(report.unexplained(outcomes, [reason("known", self.case)]),
                         ["isolated-cpu/rbd-instant/randread/32"])
        # A bar's name alone, or none, would explain what nobody has looked into.
        wrong = ["isolated-cpo/*", "isolated-cpu", "*", "*/randread/32"]
        self.assertEqual(bars.unknown_cases([reason("", *wrong, self.case, "isolated-cpu/*")]), sorted(wrong))

    def test_the_reasons_on_file_name_cases_that_there_are(self):
        self.assertEqual(bars.unknown_cases(report.load_reasons(report.HERE / "explanations.toml")), [])

    def test_what_was_planned_and_not_measured_is_missing(self):
        machine = {"suites": ["handoff"], "rounds": 2}
        planned = plans.expected(["handoff"], 2)
        some = [dict(case, round=number) for case, rounds in planned for number in range(1, rounds + 1)]
        self.assertEqual(report.missing(some, machine, False), [])
        lines = report.missing(some[:-1], machine, True)
        self.assertEqual(len(lines), 1 + len(plans.LAB_WAYS) * 4)
        self.assertIn("1 of 2 rounds", lines[0])
        self.assertIn("## Missing\n", report.document(some, machine, [], lacks=lines))

    def test_another_load_is_told(self):
        quiet = {"kind": "turn", "suite": "rbd", "round": 1, "subject": "fio", "backend": "rbd",
                 "others_before": 0.1, "others": 0, "steal": 0}
        self.assertIn("did nothing else during the 1 turns", report.document([quiet], {}, []))
        text = report.document([quiet, quiet | {"round": 2, "others_before": 1.5}], {}, [])
        self.assertIn("seen in 1 of 2 turns", text)
        self.assertIn("rbd fio rbd round 2 (1.5 before", text)

    def test_settings_are_compared_with_what_is_shipped_and_not_with_another_suite(self):
        some = [run(backend="rbd", variant=variant, iops=iops) | {"suite": "tuning"}
                for variant, iops in (("as shipped", 100), ("spin=0", 150))]
        text = report.document([*some, run("tcmu-runner", backend="rbd", iops=10)], {}, [])
        self.assertIn("| randread | 32 | spin=0 | tcmud as shipped | 1.50 |", text)
        self.assertNotIn("15.00", text)

    def test_no_records_make_a_document_too(self):
        text = report.document([], {}, [])
        self.assertIn("0 met, 0 missed", text)
        self.assertNotIn("## Figures", text)

    def test_figures_and_ratios(self):
        some = [run(iops=2e6, p50_us=10, cpu_us=0.5), run("tcmu-runner", iops=5e5, p50_us=40, cpu_us=2.0),
                run(round=2, iops=1e6, cpu_us=0.5), run("tcmu-runner", round=2, iops=5e5, cpu_us=2.0)]
        text = report.document(some, {"machine": "a | b", "not_comparable": ["Nothing was."]}, [])
        self.assertIn("| randread | 32 | tcmud | - | 1 500 000 | 10 | - | - | 0.500 | - | - | - | - |", text)
        self.assertIn("| randread | 32 | - | tcmu-runner | 3.00 (2.00 to 4.00) | 0.25 | - | 0.25 (0.25 to 0.25) |",
                      text)
        self.assertIn("a \\| b", text)
        self.assertIn("## Not comparable\n\n- Nothing was.", text)

    def test_the_lab_compares_within_transport_and_with_fio(self):
        some = [{"kind": "lab", "round": 1, "subject": subject, "transport": transport, "pattern": "randread",
                 "block": 4096, "depth": 1, "iops": iops, "p50_us": None, "cpu_us": None}
                for subject, transport, iops in (
                    ("fio", "fio-rbd", 1000), ("tcmud", "iscsi", 500), ("tcmu-runner", "iscsi", 400),
                    ("tcmud", "tcm_loop", 800))]
        text = report.document(some, {}, [])
        self.assertIn("| randread | 4 KiB | 1 | iscsi | 1.25 | - | - | 0.50 | 0.40 |", text)
        self.assertIn("| randread | 4 KiB | 1 | tcm_loop | - | - | - | 0.80 | - |", text)

    def test_idle_units_have_a_table(self):
        some = [idle("tcmud", "mem", 100, threads=8, threads_per_lun=0.08, rss_kib=20480, rss_per_lun_kib=204.8,
                     cpu_ms_in_10s=0, switches_in_10s=0)]
        self.assertIn("| mem | 100 | tcmud | - | 8 | 0.080 | 20 | 205 | 0 | 0 |", report.document(some, {}, []))

    def test_a_file_of_records_is_read(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "results.jsonl")
            path.write_text("\n".join(json.dumps(one) for one in self.missed) + "\n\n")
            self.assertEqual(data.load(path), self.missed)


class Plot(unittest.TestCase):
    def test_points_are_medians_in_the_order_of_depth(self):
        some = [run(round=number, backend="rbd", depth=depth, iops=iops, p50_us=depth * 10)
                for number, depth, iops in ((1, 32, 5), (1, 4, 3), (2, 4, 7), (3, 4, 4))]
        self.assertEqual(plot.series(some, "rbd", "randread", "tcmud"), [(4, 40, 4), (5, 320, 32)])

    def test_other_variants_and_no_records_draw_nothing(self):
        self.assertIsNone(plot.script([run(backend="rbd", variant="spin=0", iops=1, p50_us=1)], "rbd", "x.png"))
        self.assertFalse(plot.draw([], "x.png"))


class Fio(unittest.TestCase):
    usage = {"user": 0.5, "system": 0.25, "switches": 2000, "peak_kib": 100, "threads": 3}

    def test_figures_of_a_report(self):
        job = {"error": 0, "mixed": {
            "total_ios": 20000, "iops": 10000, "runtime": 2000,
            "lat_ns": {"percentile": {"50.000000": 1500, "99.000000": 3000, "99.900000": 9000}}}}
        found = fio.figures({"jobs": [job]}, self.usage)
        self.assertEqual((found["p50_us"], found["p999_us"], found["commands"], found["seconds"]), (1.5, 9, 20000, 2))
        self.assertEqual((found["cpu_us"], found["switches"], found["syscalls"]), (75, 0.2, None))

    def test_a_run_without_input_or_output_is_no_measurement(self):
        for error, commands in ((5, 10), (0, 0)):
            with self.assertRaises(fio.FioError):
                fio.figures({"jobs": [{"error": error, "mixed": {"total_ios": commands}}]}, self.usage)


if __name__ == "__main__":
    unittest.main()
