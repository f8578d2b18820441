"""Reading confs of nvpmodel and writing modes into them; the confs are these tests' own."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.devices.jetson.confs import TX2_LIKE, model, orin_like, params

from powertrain.devices._sysfs import RealSysfs, Sysfs
from powertrain.devices.jetson.nvpmodel import (
    export_mode,
    free_id,
    parse_conf,
    present_mode,
    read_conf,
    rounded_clock,
)
from powertrain.errors import DeviceError, MissingKnobError, UnknownNameError
from powertrain.records import PowerMode
from powertrain.space import ModeSpace
from powertrain.virtual import BOARDS

ORIN = BOARDS["sim:orin-agx"].space
CONF = parse_conf(orin_like())
CHOSEN = PowerMode(cpu_cores=6, cpu_mhz=1651.2, gpu_mhz=624.75, mem_mhz=2133)


def exported(mode=CHOSEN, name="CHOSEN", conf=CONF, **options):
    return export_mode(conf, mode, name, **options)


def lines_of(export):
    return export.block.splitlines()


def test_a_conf_lists_its_modes_with_their_ids_and_the_default():
    assert [(mode.id, mode.name) for mode in CONF.modes] == [(0, "MAXN"), (1, "MODE_15W"), (2, "MODE_30W")]
    assert CONF.default_mode.name == "MODE_30W"
    assert CONF.fan == "quiet"
    assert CONF.mode("1") is CONF.mode("MODE_15W")


def test_an_unknown_mode_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'MODE_30W'"):
        CONF.mode("MODE_30")


def test_what_a_param_sets_is_told_from_its_paths_not_its_name():
    knobs = {param.name: param.knob for param in CONF.params}

    assert knobs == {
        "CPU_ONLINE": "cpu_cores",
        "TPC_POWER_GATING": None,
        "GPU_POWER_CONTROL_ENABLE": None,
        "GPU_POWER_CONTROL_DISABLE": None,
        **dict.fromkeys(("CPU_A78_0", "CPU_A78_1", "CPU_A78_2"), "cpu_mhz"),
        "GPU": "gpu_mhz",
        "EMC": "mem_mhz",
        "DLA0_CORE": None,
        "VDDIN_OC_LIMIT": None,
    }


@pytest.mark.parametrize(
    ("path", "knob"),
    [
        ("/sys/class/devfreq/gpu-gpc-0/max_freq", "gpu_mhz"),
        ("/sys/class/devfreq/gpu-nvd-0/max_freq", None),
        ("/sys/devices/57000000.gpu/devfreq/57000000.gpu/max_freq", "gpu_mhz"),
        ("/sys/devices/17000000.gv11b/devfreq_dev/max_freq", "gpu_mhz"),
        ("/sys/devices/17000000.gp10b/devfreq/devfreq0/max_freq", "gpu_mhz"),
        ("/sys/devices/system/cpu/cpufreq/policy4/scaling_max_freq", "cpu_mhz"),
        ("/sys/class/devfreq/15340000.vic/max_freq", None),
    ],
)
def test_the_gpu_and_the_processors_are_found_under_all_their_paths(path, knob):
    text = (
        f"< PARAM TYPE=CLOCK NAME=X >\nMAX_FREQ {path}\n< POWER_MODEL ID=0 NAME=A >\n< PM_CONFIG DEFAULT=0 >"
    )

    assert parse_conf(text).params[0].knob == knob


def test_a_mode_is_said_in_the_boards_space_with_caps_rounded_to_the_nearest():
    assert CONF.mode("MODE_15W").mode_in(ORIN) == PowerMode(
        cpu_cores=4, cpu_mhz=1113.6, gpu_mhz=420.75, mem_mhz=2133
    )


def test_no_cap_is_the_end_of_the_table():
    assert CONF.mode("MAXN").mode_in(ORIN) == PowerMode(
        cpu_cores=12, cpu_mhz=2201.6, gpu_mhz=1300.5, mem_mhz=3199
    )
    mode = CONF.mode("MODE_30W").mode_in(ORIN)
    assert mode is not None
    assert mode["mem_mhz"] == 3199  # EMC MAX_FREQ 0


@pytest.mark.parametrize(
    ("cap_mhz", "table", "seen_mhz"),
    [
        (670.0, (522.75, 624.75, 675.75, 828.75), 675.75),
        (1200.0, (1113.6, 1190.4, 1267.2), 1190.4),
        (640.0, (537.6, 614.4, 691.2), 614.4),
        (918.0, (825.6, 921.6, 1036.8), 921.6),
    ],
)
def test_caps_are_rounded_as_boards_were_seen_to_do(cap_mhz, table, seen_mhz):
    assert rounded_clock(cap_mhz, table) == seen_mhz


def test_a_space_without_some_knobs_gets_a_mode_without_them():
    space = ModeSpace.of({"gpu_mhz": (306, 408, 612)})

    assert CONF.mode("MODE_15W").mode_in(space) == PowerMode(gpu_mhz=408)


def test_a_knob_that_nvpmodel_lacks_cannot_be_said():
    space = ModeSpace.of({"gpu_mhz": (306, 408), "batch_size": (8, 16)})

    assert CONF.mode("MODE_15W").mode_in(space) is None


def test_clusters_with_different_caps_are_no_mode():
    text = orin_like().replace("CPU_A78_1 MAX_FREQ 1728000", "CPU_A78_1 MAX_FREQ 1113600")

    assert parse_conf(text).mode("MODE_30W").mode_in(ORIN) is None


def test_processors_that_are_not_the_first_of_the_boards_order_are_no_mode():
    space = ModeSpace.of({"cpu_cores": range(1, 7), "cpu_mhz": (1190.4, 1267.2)})
    mode = parse_conf(TX2_LIKE).mode("MAXQ")

    assert mode.online == (0, 3, 4, 5)
    assert mode.mode_in(space) is None
    assert mode.mode_in(space, order=(0, 3, 4, 5, 1, 2)) == PowerMode(cpu_cores=4, cpu_mhz=1190.4)


def test_processor_0_is_on_whatever_the_conf_says():
    text = orin_like().replace("CPU_ONLINE CORE_0 1", "CPU_ONLINE CORE_0 0")

    assert 0 in parse_conf(text).mode("MAXN").online


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("GPU MIN_FREQ 0", "GPU MIN_FREQ", "is not a PARAM, an argument and a value"),
        ("GPU MIN_FREQ 0", "GPUX MIN_FREQ 0", "there is no PARAM 'GPUX' above"),
        ("GPU MIN_FREQ 0", "GPU MID_FREQ 0", "PARAM 'GPU' has no argument 'MID_FREQ'"),
        ("GPU MAX_FREQ 612000000", "GPU MAX_FREQ fast", "'MAX_FREQ' is 'fast', which is not a whole number"),
        ("NAME=MODE_30W >", "NAME=MODE_30W", "opens no section"),
        ("ID=1 NAME", "ID=0 NAME", "there are two modes with the ID 0"),
        ("ID=1 NAME", "NAME", "POWER_MODEL lacks ID="),
        ("ID=1 NAME", "ID=one NAME", "'ID' is 'one'"),
        ("NAME=DLA0_CORE", "NAME=EMC", "PARAM 'EMC' is there twice"),
        ("PM_CONFIG DEFAULT=2", "PM_CONFIG DEFAULT=7", "the default mode 7 is none of 0, 1, 2"),
        ("# PARAM sections", "CORE_0 /sys", "stands before the first section"),
        ("TPC_PG_MASK /sys/devices", "TPC_PG_MASK sys/devices", "is not an argument and its path"),
    ],
)
def test_a_line_that_breaks_the_form_is_named(old, new, says):
    text = orin_like()
    number = text[: text.index(old)].count("\n") + 1

    with pytest.raises(DeviceError, match=re.escape(says)) as error:
        parse_conf(text.replace(old, new, 1), path="nvpmodel.conf")
    assert f"nvpmodel.conf, line {number}: " in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no POWER_MODEL section"),
        (orin_like().replace("< PM_CONFIG DEFAULT=2 >", ""), "0 PM_CONFIG sections"),
        (orin_like() + "< PM_CONFIG DEFAULT=1 >\n", "2 PM_CONFIG sections"),
    ],
)
def test_a_conf_that_lacks_what_nvpmodel_needs_is_refused(text, says):
    with pytest.raises(DeviceError, match=says):
        parse_conf(text)


def test_sections_of_a_kind_to_come_are_passed_over():
    text = orin_like() + "\n< SOMETHING NEW=1 >\nany thing at all 1 2 3\n"

    assert len(parse_conf(text).modes) == 3


LINES = st.sampled_from([*orin_like().splitlines(), *TX2_LIKE.splitlines()])


@given(st.lists(LINES | st.text(max_size=30), max_size=40).map("\n".join))
def test_no_text_whatever_it_holds_fails_with_more_than_one_line(text):
    said = ""
    try:
        modes = parse_conf(text).modes
    except DeviceError as error:
        modes, said = (), str(error)

    assert "\n" not in said
    assert all(mode.mode_in(ORIN) is None or mode.mode_in(ORIN) in ORIN for mode in modes)


@pytest.fixture
def root(tmp_path) -> RealSysfs:
    """A folder that stands for the root of a board."""
    for folder in ("etc/nvpmodel", "var/lib/nvpmodel"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/nvpmodel/nvpmodel_p3701_0000.conf").write_text(orin_like())
    (tmp_path / "etc/nvpmodel.conf").symlink_to("nvpmodel/nvpmodel_p3701_0000.conf")
    return RealSysfs(tmp_path)


def test_the_conf_of_the_board_is_the_one_that_the_link_leads_to(root: Sysfs):
    assert read_conf(root).path == "/etc/nvpmodel/nvpmodel_p3701_0000.conf"


def test_a_conf_given_to_nvpmodel_by_f_is_the_one_in_force(root: Sysfs, tmp_path):
    (tmp_path / "etc/nvpmodel/own.conf").write_text(exported().whole)
    (tmp_path / "var/lib/nvpmodel/conf_file_path").write_text("/etc/nvpmodel/own.conf\n")
    (tmp_path / "var/lib/nvpmodel/status").write_text("pmode:0010 fmode:quiet\n")
    conf = read_conf(root)
    mode = present_mode(root, conf)

    assert mode is not None
    assert (conf.path, mode.name) == ("/etc/nvpmodel/own.conf", "CHOSEN")


@pytest.mark.parametrize("kept", ["/etc/nvpmodel/gone.conf", "", "nvpmodel.conf"])
def test_a_conf_in_force_that_is_gone_leaves_that_of_the_board(root: Sysfs, tmp_path, kept):
    (tmp_path / "var/lib/nvpmodel/conf_file_path").write_text(kept)

    assert read_conf(root).path == "/etc/nvpmodel/nvpmodel_p3701_0000.conf"


def test_a_board_without_a_conf_says_so_in_one_line(tmp_path):
    with pytest.raises(
        DeviceError, match=r"no stock modes: /etc/nvpmodel\.conf cannot be read \(No such file"
    ):
        read_conf(RealSysfs(tmp_path))


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("pmode:0001", "MODE_15W"),
        ("pmode:0002 fmode:quiet", "MODE_30W"),
        ("pmode:0007", None),
        ("pmode:", None),
        ("", None),
        ("pmode:99999999999999999999", None),
    ],
)
def test_the_present_mode_is_the_one_of_the_status_file(root: Sysfs, tmp_path, status, name):
    (tmp_path / "var/lib/nvpmodel/status").write_text(status)
    mode = present_mode(root, read_conf(root))

    assert (mode and mode.name) == name


SPACES = {
    (cores, clusters): parse_conf(orin_like(cores, clusters))
    for cores, clusters in (
        (12, (0, 4, 8)),
        (8, (0, 4)),
        (8, (0, 2, 4, 6)),
        (6, (0, 4)),
        (6, range(6)),
        (4, (0,)),
    )
}


@given(st.data())
def test_what_is_exported_reads_back_as_the_same_mode(data):
    space = BOARDS[data.draw(st.sampled_from(sorted(BOARDS)))].space
    cores = int(space.knob("cpu_cores").values[-1])
    conf = data.draw(st.sampled_from([conf for (n, _), conf in SPACES.items() if n == cores]))
    mode = space[data.draw(st.integers(0, len(space) - 1))]
    like = data.draw(st.sampled_from([None, *conf.modes]))
    whole_space = data.draw(st.sampled_from([None, space]))

    export = export_mode(conf, mode, "CHOSEN", like=like, space=whole_space)
    again = parse_conf(export.whole)

    assert again.mode("CHOSEN").mode_in(space) == mode
    assert again.mode(str(export.id)).name == "CHOSEN"
    assert again.modes[: len(conf.modes)] == conf.modes
    assert again.default == conf.default


def test_every_mode_of_a_board_survives_the_export():
    space = BOARDS["sim:orin-nano"].space
    conf = SPACES[6, (0, 4)]
    table = space.limited(cpu_mhz=(700, 1200))

    assert all(
        parse_conf(export_mode(conf, mode, "X").whole).mode("X").mode_in(space) == mode for mode in table
    )


def test_both_ends_of_a_clock_are_set_so_that_it_is_held():
    lines = lines_of(exported())

    assert "CPU_A78_0 MIN_FREQ 1651200" in lines
    assert "CPU_A78_0 MAX_FREQ 1651200" in lines
    assert "GPU MIN_FREQ 624750000" in lines
    assert "GPU MAX_FREQ 624750000" in lines
    assert "EMC MAX_FREQ 2133000000" in lines


def test_there_is_a_line_for_every_processor():
    lines = [line for line in lines_of(exported()) if line.startswith("CPU_ONLINE")]

    assert lines == [f"CPU_ONLINE CORE_{n} {int(n < 6)}" for n in range(12)]


def test_a_cluster_that_is_off_has_no_clock_to_set():
    assert not any(line.startswith("CPU_A78_2") for line in lines_of(exported()))


def test_partitions_of_the_gpu_and_accelerators_stay_as_they_are_in_the_mode_in_force():
    lines = lines_of(exported(like=CONF.mode("MODE_15W")))

    assert "TPC_POWER_GATING TPC_PG_MASK 248" in lines
    assert "DLA0_CORE MAX_FREQ 614400000" in lines
    assert "VDDIN_OC_LIMIT WARN 3000" in lines


def test_lines_keep_the_order_of_the_stock_mode():
    kinds = [line.split()[0] for line in lines_of(exported()) if not line.startswith(("#", "<"))]

    assert list(dict.fromkeys(kinds)) == [
        *("CPU_ONLINE", "TPC_POWER_GATING", "GPU_POWER_CONTROL_ENABLE", "CPU_A78_0", "CPU_A78_1", "GPU"),
        *("GPU_POWER_CONTROL_DISABLE", "EMC", "DLA0_CORE", "VDDIN_OC_LIMIT"),
    ]


def test_the_greatest_memory_clock_is_written_as_the_confs_own_word_for_no_cap():
    fastest = CHOSEN.replace(mem_mhz=3199)

    assert "EMC MAX_FREQ -1" in lines_of(exported(fastest, space=ORIN))
    assert "EMC MAX_FREQ 3199000000" in lines_of(exported(fastest))


def test_an_id_leaves_a_gap_to_the_stock_modes_and_is_free():
    assert exported().id == 10
    assert free_id(parse_conf(exported().whole)) == 11


def test_two_modes_can_be_added_one_after_the_other():
    first = parse_conf(exported().whole)
    second = parse_conf(exported(CHOSEN.replace(cpu_cores=2), "SECOND", conf=first).whole)

    assert [(mode.id, mode.name) for mode in second.modes[-2:]] == [(10, "CHOSEN"), (11, "SECOND")]


def test_a_header_has_the_blanks_that_nvpmodel_wants():
    assert "< POWER_MODEL ID=10 NAME=CHOSEN >" in lines_of(exported())


@pytest.mark.parametrize(
    ("name", "hint"), [("my mode", "as in MY_MODE"), ("30w", "as in 30W"), ("", "digits")]
)
def test_a_name_that_nvpmodel_would_not_take_is_refused_with_a_better_one(name, hint):
    with pytest.raises(ValueError, match=hint):
        exported(name=name)


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ValueError, match="has a mode called MAXN already"):
        exported(name="MAXN")


def test_the_block_says_that_the_memory_cap_is_no_pin():
    assert any(re.match("# EMC MAX_FREQ is a cap, not a pin", line) for line in lines_of(exported()))


def test_knobs_of_the_training_are_left_out_and_named():
    export = exported(PowerMode({**CHOSEN, "batch_size": 16}))

    assert any("batch_size" in warning for warning in export.warnings)


def test_knobs_that_the_mode_lacks_stay_as_they_were():
    lines = lines_of(exported(PowerMode(gpu_mhz=624.75)))

    assert "CPU_A78_2 MAX_FREQ 1728000" in lines
    assert "EMC MAX_FREQ 0" in lines


def test_more_processors_without_a_clock_get_the_caps_of_the_others():
    lines = lines_of(exported(PowerMode(cpu_cores=12), like=CONF.mode("MODE_15W")))

    assert "CPU_A78_2 MAX_FREQ 1113600" in lines
    assert "CPU_A78_2 MIN_FREQ 729600" in lines


@pytest.mark.parametrize("mode", [PowerMode(power_limit_w=20, gpu_mhz=408), PowerMode(batch_size=8)])
def test_what_nvpmodel_has_no_words_for_is_refused(mode):
    with pytest.raises(MissingKnobError, match="cpu_cores, cpu_mhz, gpu_mhz, mem_mhz"):
        exported(mode)


def test_more_processors_than_the_conf_declares_are_refused():
    with pytest.raises(DeviceError, match="declares 12 processors, and 13 were asked for"):
        exported(CHOSEN.replace(cpu_cores=13))


def test_a_conf_without_a_param_for_a_knob_is_refused():
    text = params(4, (0,)).replace("nvpmodel_emc_cap/emc_iso_cap", "x").replace("nvpmodel_clk_cap/emc", "y")
    conf = parse_conf(text + model(0, "MAXN", cores=4, online=4, clusters=(0,)) + "< PM_CONFIG DEFAULT=0 >")

    with pytest.raises(DeviceError, match="has no PARAM that sets mem_mhz"):
        exported(CHOSEN.replace(cpu_cores=4), conf=conf)


def test_a_processor_that_no_mode_sets_gets_no_line():
    conf = parse_conf(TX2_LIKE)
    export = export_mode(conf, PowerMode(cpu_cores=2, cpu_mhz=1190.4), "TWO", order=(0, 3, 4, 5, 1, 2))

    assert [line for line in lines_of(export) if line.startswith("CPU_ONLINE")] == [
        f"CPU_ONLINE CORE_{n} {int(n == 3)}" for n in range(1, 6)
    ]
    assert not any(line.startswith("CPU_DENVER") for line in lines_of(export))


def test_a_cap_that_is_lifted_is_infinite():
    (setting,) = [s for s in CONF.mode("MAXN").settings if (s.param.name, s.arg) == ("GPU", "MAX_FREQ")]

    assert math.isinf(setting.cap_mhz)


@pytest.mark.parametrize("header", ["< PARAM" + " " * 200_000 + "x", "<>", "< >", "<", "< = >", "> <"])
def test_a_header_that_is_none_is_refused_at_once(header):
    with pytest.raises(DeviceError, match=r"nvpmodel\.conf, line 1: "):
        parse_conf(header)


def test_tabs_and_blanks_part_a_line_alike():
    text = (
        orin_like()
        .replace("MAX_FREQ /sys", "MAX_FREQ \t  /sys")
        .replace("GPU MIN_FREQ 0", "GPU\tMIN_FREQ  0")
    )

    assert parse_conf(text).modes == CONF.modes


def test_a_conf_may_begin_with_a_mark_of_its_encoding_and_hold_other_ends_of_lines_in_comments():
    text = "\ufeff# by J\u2028Doe\x0c page 1\r\n" + orin_like().replace("\n", "\r\n")

    assert parse_conf(text).modes == CONF.modes


def test_two_modes_of_one_name_are_told_apart_by_their_ids():
    names = [mode.name for mode in CONF.modes]
    text = orin_like().replace(f"NAME={names[1]} ", f"NAME={names[0]} ")

    assert [mode.name for mode in parse_conf(text).modes] == [names[0], f"{names[0]}_ID1", names[2]]
