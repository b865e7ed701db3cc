"""The command line: what it understands, and one clear sentence for what it does not."""

import dataclasses
import errno
import json
import os
import subprocess
import sys

import pytest

from mag import cli, envs
from mag.algorithms.registry import default_config
from mag.cli import bench
from mag.cli.main import COMMANDS
from mag.errors import UsageError
from mag.reports.bench import BENCHMARKS
from mag.reports.evaluate import evaluate_run
from mag.runs.config_file import claim
from mag.runs.train import train
from tests.support.fake import fake_config
from tests.support.starcraft_server import install

BASELINES = ("attention-ppo", "commnet", "g2a")


def run(capsys, *words):
    """Exit code, standard output and standard error of `mag WORDS`."""
    code = 0
    try:
        cli.main(words)
    except SystemExit as exit_:
        code = exit_.code or 0
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def trained(monkeypatch):
    """Takes the place of training: collects `(config, run folder)`."""
    calls = []
    monkeypatch.setattr("mag.runs.train.train", lambda config, path: calls.append((config, path)))
    return calls


def test_fields_of_every_group_can_be_set(capsys, trained, tmp_path):
    words = "train --env probe/two-step --algo mamba --size debug --steps 7 --seed 3 --num-seeds 2"
    code, _, errors = run(capsys, *words.split(), "--run", str(tmp_path), "--rollout.length", "7")
    assert (code, errors) == (0, "")
    ((config, path),) = trained
    assert (config.env, config.algo, config.size) == ("probe/two-step", "mamba", "debug")
    assert (config.steps, config.seed, config.num_seeds, config.rollout.length) == (7, 3, 2, 7)
    assert path == tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "--num-seeds 2 --ppo.gae-lambda 0.5 --ppo.actor-learning-rate 1e-3",
        "--num_seeds 2 --ppo.gae_lambda 0.5 --ppo.actor_learning_rate 1e-3",
        "--num-seeds=2 --ppo.gae-lambda=0.5 --ppo.actor-learning-rate=1e-3",
    ],
)
def test_spellings_of_the_same(capsys, trained, words):
    assert run(capsys, "train", "--size", "debug", *words.split())[0] == 0
    config = trained[0][0]
    assert (config.num_seeds, config.ppo.gae_lambda, config.ppo.actor_learning_rate) == (2, 0.5, 1e-3)


def test_size_and_recipe_set_the_defaults_and_options_override_them(capsys, trained):
    run(capsys, "train", "--size", "debug")
    run(capsys, "train", "--size=paper", "--networks.hidden", "128")
    run(capsys, "train", "--size", "small", "--recipe", "paper")
    debug, paper, small = (config for config, _ in trained)
    assert debug.networks.hidden == 16 and debug.steps == 300
    assert (small.networks.hidden, small.models.optimiser, small.networks.joint_events) == (64, "adam", False)
    assert (paper.networks.hidden, paper.networks.deterministic) == (128, 256)


@pytest.mark.parametrize("algo", BASELINES)
def test_baselines_have_their_own_options(capsys, trained, algo):
    words = f"train --algo {algo} --size debug --learning.gae-lambda 0.5 --networks.communicate False"
    assert run(capsys, *words.split())[0] == 0
    config = trained[0][0]
    assert (config.algo, config.learning.gae_lambda, config.networks.communicate) == (algo, 0.5, False)


def test_help_of_a_baseline_gives_the_publications_values(capsys):
    code, output, _ = run(capsys, "train", "--algo", "g2a", "--help-all")
    text = " ".join(output.split())
    assert code == 0 and "--learning.target-every 0" in text and "--networks.gate-hidden 16" in text


def test_a_runs_configuration_is_taken_back_and_overridden(capsys, trained, tmp_path):
    words = "train --env probe/memory --size debug --planner.kind elite --planner.num-elites 1 --ppo.gamma 0.5"
    run(capsys, *words.split())
    config = trained[0][0]
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"config": dataclasses.asdict(config)}))
    assert run(capsys, "train", "--config", str(file), "--seed", "7")[0] == 0
    assert trained[1][0] == dataclasses.replace(config, seed=7)


def test_whole_numbers_may_be_written_in_powers_of_ten(capsys, trained):
    assert run(capsys, "train", "--size", "debug", "--steps", "1e6")[0] == 0
    assert trained[0][0].steps == 1_000_000


def test_64_bits_are_refused():
    done = subprocess.run(
        [sys.executable, "-m", "mag", "train", "--size", "debug"],
        env={**os.environ, "JAX_ENABLE_X64": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "JAX_ENABLE_X64 is 1" in done.stderr and done.stderr.count("\n") == 1


def test_auto_is_resolved(capsys, trained):
    run(capsys, "train")
    assert (trained[0][0].size, trained[0][0].recipe) in (("small", "tuned"), ("paper", "paper"))


BAD_INPUT = [
    (
        "train --host.failures 3",
        "host.failures is 3, but JAX itself plays smac_jax/3s_vs_3z, in no process; leave it out",
    ),
    (
        "train --exploration.leaning 0 --exploration.strength 9",
        "has no effect while exploration.leaning is 0.0; change that or leave it out",
    ),
    ("trian", "unknown command trian (did you mean train?); known are train, evaluate, watch, diagnose, bench, envs"),
    ("train --planner.horizn 7", "unknown option --planner.horizn (did you mean --planner.horizon?)"),
    ("train --planner.horizon seven", "--planner.horizon: 'seven' is not a whole number"),
    (f"train --steps {'9' * 90}x", f"--steps: '{'9' * 90}x' is not a whole number"),
    ("train --ppo.clip much", "--ppo.clip: 'much' is not a number"),
    ("train --model-reward.layers 1000", "model_reward.layers is 1000; it must be at least 1 and at most 100"),
    ("train --algo commnet --networks.rounds 1000", "networks.rounds is 1000; it must be at least 1 and at most 100"),
    ("train --checkpoint.every -1", "checkpoint.every is -1.0; it must be at least 0"),
    ("train --evaluation.every 0", "evaluation.every is 0; it must be at least 1"),
    ("train --checkpoint.every inf", "checkpoint.every is inf; it must be a finite number"),
    ("train --planner.horizon 0", "planner.horizon is 0; it must be at least 1"),
    ("train --num-seeds 0", "num_seeds is 0; it must be at least 1"),
    ("train --workers 0", "workers is 0; it must be at least 1"),
    ("train --workers 3 --size small", "replay.batch_size is 16 and workers 3; the workers must divide it"),
    ("train --size small --ppo.minibatch 501", "ppo.minibatch is 501 and workers 2; the workers must divide it"),
    ("train --workers 16 --size small --ppo.minibatch 480", "workers is 16; on a CPU it can be at most 8"),
    ("train --workers 2 --algo g2a", "workers is 2; g2a learns with 1 (mag and mamba can have more)"),
    ("train --steps", "--steps needs a value; `mag train --help` explains"),
    ("evaluate --episodes", "--episodes needs a value; `mag evaluate --help` explains"),
    ("train extra", "'extra' is not an option"),
    ("train --env smax/3s_vs_9z", "'3s_vs_9z'"),
    ("train --env starcraft", "'starcraft'"),
    ("train --env ./my_tasks/corridor", "there is no family '.'"),
    ("train --env smac_jax/no.toml", "cannot read the map file no.toml (No such file or directory)"),
    ("train --seed 2147483647 --num-seeds 2", "seeds must stay below 2147483648"),
    ("train --size small --networks.stages 3", "networks.stages is 3 and networks.categoricals 16; the stages must"),
    ("train --size small --rollout.newest 300", "rollout.newest is 300, 18 steps for each of 16 envs, and"),
    ("train --size small --replay.capacity 1500", "replay.capacity is 1500 and replay.learning_starts 2000"),
    (
        "train --size small --rollout.length 60 --replay.capacity 900 --replay.learning-starts 500",
        "rollout.replayed draws sequences of 69; raise replay.capacity",
    ),
    ("train --env probe/relay --collect.nearest-first true", "probe/relay does not tell which features"),
    ("train --env probe/relay --exploration.attacks-as-one true", "probe/relay does not tell which actions attack"),
    ("train --algo mog", "unknown algorithm 'mog'; there are mag, mamba, attention-ppo, commnet, g2a"),
    ("train --algo=", "unknown algorithm ''; there are mag, mamba"),
    ("train --env=", "environment ''"),
    (
        "train --algo mamba --planner.kind shooting",
        "mamba does not plan, and planner.kind is shooting; give --algo mag, or leave it out",
    ),
    (
        "train --algo mamba --planner.horizon 7",
        "mamba does not plan (planner.kind none) and takes no option --planner.horizon; leave it out",
    ),
    (
        "train --algo commnet --learning.critic-learning-rate 0.1",
        "commnet has no critic of its own and takes no option --learning.critic-learning-rate",
    ),
    (
        "train --algo mamba --model-reward.layers 3",
        "mamba does not plan (planner.kind none) and takes no option --model-reward.layers",
    ),
    ("train --algo g2a --learning.minibatches 7 --size debug", "the minibatches must divide the environments"),
    ("train --ppo.learning-rate-decay 1.1", "ppo.learning_rate_decay is 1.1; it must be at least 0 and at most 1"),
    ("train --models.ema-decay 1", "models.ema_decay is 1.0; it must be at least 0 and below 1"),
    ("train --models.optimiser sgd", "--models.optimiser: 'sgd' is not one of adam, muon"),
    ("train --models.reward-threshold 0", "models.reward_threshold is 0.0; it must be above 0"),
    ("train --models.reward-weight nan", "models.reward_weight is nan; it must be a finite number"),
    ("train --algo commnet --planner.horizon 7", "commnet does not plan and takes no option --planner.horizon"),
    ("train --planner.num-elites 2", "--planner.num-elites belongs to --planner.kind elite, and the kind is shooting"),
    ("train --planner.kind shoting", "did you mean shooting?"),
    ("train --env 3s_vs_3z", "Did you mean 'smac_jax/3s_vs_3z'?"),
    ("train --env smac/3s_vs_3z", "Did you mean 'smac_jax/3s_vs_3z'?"),
    ("train --config nowhere.json", "--config is nowhere.json, which cannot be read (No such file or directory)"),
    ("train --size big", "unknown size 'big'; there are auto, paper, small, debug"),
    ("train --recipe best", "unknown recipe 'best'; there are auto, paper, tuned"),
    ("evaluate", "RUN"),
    ("evaluate nowhere", "nowhere is not a run folder (it has no config.json)"),
    ("evaluate nowhere --episodes 0", "--episodes is 0; it must be at least 1"),
    ("evaluate nowhere --jsn", "unknown option --jsn (did you mean --json?)"),
    ("watch", "RUN"),
    ("watch nowhere", "nowhere is not a run folder (it has no config.json)"),
    ("watch nowhere --episodes 0", "--episodes is 0; it must be at least 1"),
    ("diagnose", "RUN is missing; the command is `mag diagnose RUN`"),
    ("diagnose nowhere", "nowhere is not a run folder (it has no config.json)"),
    ("diagnose nowhere --batches 0", "--batches is 0; it must be at least 1"),
    ("bench speed", "unknown benchmark 'speed'; there are planning, world-model, ppo, env, iteration"),
    ("envs --all", "unknown option --all"),
    ("envs smx", "no environment's name contains 'smx' (did you mean smax?)"),
    ("envs smax probe", "'probe' is one word too many; the command is `mag envs [WORD]`"),
    ("evaluate one two", "'two' is one word too many; the command is `mag evaluate RUN`"),
    ("train --num_sed 4", "unknown option --num_sed (did you mean --num_seeds?)"),
    ("train --num-sed 4", "unknown option --num-sed (did you mean --num-seeds?)"),
    ("train --ppo 4", "--ppo is '4', but it is a group of options; set one of them: --ppo.actor-learning-rate,"),
    ("train --learning.epsilon 0.1", "mag has no option --learning.epsilon, only attention-ppo and commnet and g2a"),
    ("train --algo g2a --planner.kind elite", "g2a does not plan and takes no option --planner.kind; leave it out"),
    (
        "train --planner.kind none --planner.horizon 5",
        "mag does not plan (planner.kind none) and takes no option --planner.horizon; leave it out",
    ),
]


@pytest.mark.parametrize(("words", "message"), BAD_INPUT)
def test_mistakes_get_one_sentence_and_code_2(capsys, monkeypatch, tmp_path, words, message):
    monkeypatch.chdir(tmp_path)
    code, output, errors = run(capsys, *words.split())
    assert code == 2
    assert message in errors
    assert errors.startswith("mag: ") and errors.count("\n") == 1
    assert "Traceback" not in errors + output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("env", "module", "message"),
    [
        ("smaclite/2s3z", "smaclite", "needs SMAClite, but smaclite is not installed: pip install"),
        ("pettingzoo/mpe.simple_spread_v3", "mpe2.simple_spread_v3", "pip install 'models-as-agents[pettingzoo]'"),
        ("starcraft/3s_vs_3z", None, "StarCraft II is missing: SC2PATH is"),
    ],
)
def test_a_missing_simulator_is_told_before_there_is_a_run_folder(capsys, monkeypatch, tmp_path, env, module, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nowhere"))
    monkeypatch.setitem(sys.modules, module, None)
    code, _, errors = run(capsys, "train", "--env", env, "--size", "debug")
    assert code == 2 and message in errors and errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "failed 1 times in a row, the last time because ValueError: the pathfinder is lost"),
        ("nan", "shows obs with the value nan; all have to be finite numbers"),
    ],
)
def test_an_environment_that_fails_ends_the_run_which_is_saved(capsys, monkeypatch, tmp_path, fault, message):
    monkeypatch.setenv("HOST_ENVS", str(tmp_path))
    # An iteration is an episode and a step; the second episode of training goes wrong in its second step.
    sizes = "--collect.num-envs 1 --collect.steps 8 --learning.minibatches 1 --evaluation.episodes 1 --host.failures 1"
    words = f"train --env tests.support.host_envs/{fault}-once --algo commnet --size debug --steps 20 {sizes}"
    code, _, errors = run(capsys, *words.split(), "--run", str(tmp_path / "run"))
    assert code == 2 and message in errors and errors.count("\n") == 1
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("words", "player"),
    [("evaluate --json", "mag.reports.evaluate.evaluate_run"), ("watch", "mag.reports.watch.watch")],
)
def test_another_version_of_the_game_is_told_before_it_is_played(capsys, monkeypatch, tmp_path, words, player):
    monkeypatch.setenv("SC2PATH", str(install(tmp_path / "game", "3s_vs_3z", build=90000)))
    with claim(tmp_path / "run", default_config("commnet", "starcraft/3s_vs_3z", "debug")):
        pass
    monkeypatch.setattr(player, lambda *words, **options: sys.stderr.write("played") and {})
    code, output, errors = run(capsys, *words.split(), str(tmp_path / "run"))
    told, played = errors.splitlines()
    assert (code, output, played) == (0, "{}\n", "played")
    assert told.startswith("starcraft/3s_vs_3z is played on StarCraft II Base90000, but published results are of 4.10")


def test_a_run_folder_that_cannot_be_used_is_named(capsys, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    code, _, errors = run(capsys, "train", "--env", "probe/two-step", "--size", "debug", "--run", str(tmp_path))
    assert code == 2
    assert "thesis.tex" in errors and "--run" in errors and errors.count("\n") == 1


def test_a_kind_of_film_that_does_not_exist_is_told_before_battles_are_played(capsys, tmp_path):
    with claim(tmp_path, fake_config()):
        pass
    code, _, errors = run(capsys, "watch", str(tmp_path), "--out", "film.avi")
    assert code == 2 and "let its name end in one of .html, .gif, .mp4" in errors and errors.count("\n") == 1


def test_help_names_every_command(capsys):
    for words in ((), ("--help",), ("-h",)):
        code, output, _ = run(capsys, *words)
        assert code == 0
        assert all(f"\n  {name} " in output for name in ("train", "evaluate", "watch", "diagnose", "bench", "envs"))


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_of_train_is_short_and_names_the_groups(capsys, word):
    code, output, _ = run(capsys, "train", word)
    assert code == 0 and len(output.splitlines()) < 66
    assert all(len(line) <= 80 for line in output.splitlines())
    assert "--run DIR" in output and "in size small, recipe" in output
    assert "--ppo.*" in output and "--planner.*" in output and "--ppo.gamma" not in output


def test_all_help_explains_fields_with_the_paper_values(capsys):
    code, output, _ = run(capsys, "train", "--help-all")
    assert code == 0 and all(len(line) <= 80 for line in output.splitlines())
    text = " ".join(output.split())
    assert "--rollout.length 15 k: steps of a rollout. (paper: 15; at least 1)" in text
    assert "--networks.hidden 64 Width of the hidden layers. (paper: 256; at least 1)" in text
    assert "--models.optimiser muon" in text and "(paper: adam; adam or muon)" in text


def test_all_help_gives_the_published_values_of_the_method_and_the_map(capsys):
    def words(*options):
        return " ".join(run(capsys, "train", *options, "--help-all")[1].split())

    # Table 1 has L = 4 and H = 6 on corridor. G2A learns with one epoch, Attention-PPO with five.
    text = words("--env", "smax/corridor")
    assert "--planner.horizon 3 H: steps looked ahead" in text and "(paper: 6; at least 1)" in text
    assert "--models.reward-scale 10.0" in text
    assert "Passes over the collected segments. (paper: 1; at least 1)" in words("--algo", "g2a")
    assert "Passes over the collected segments. (paper: 5; at least 1)" in words("--algo", "attention-ppo")


def test_help_leaves_out_what_a_method_has_no_use_for(capsys):
    text = run(capsys, "train", "--algo", "mamba", "--help-all")[1]
    assert "--planner.kind none" in text and "--ppo.clip" in text
    assert "--planner.horizon" not in text and "--model-reward." not in text
    text = run(capsys, "train", "--algo", "mag", "--planner.kind", "elite", "--help-all")[1]
    assert "--planner.num-elites" in text and "--model-reward.layers" in text
    text = run(capsys, "train", "--algo", "commnet", "--help-all")[1]
    assert "--learning.learning-rate" in text and "--learning.critic-learning-rate" not in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_fits_80_columns(capsys, command):
    code, output, _ = run(capsys, command, "--help")
    assert code == 0 and output.startswith(f"usage: mag {command}")
    assert all(len(line) <= 80 for line in output.splitlines())
    assert run(capsys, "help", command)[1] == output


def test_parts_that_can_be_measured_are_the_benchmarks():
    assert bench.PARTS == tuple(BENCHMARKS)


def test_help_and_mistakes_do_not_wait_for_jax():
    script = (
        "import sys; from mag.cli import main\n"
        "for words in ('--help', 'trian', 'evaluate --help', 'watch --help', 'diagnose --help', 'help bench',\n"
        "              'train --steps x', 'train --help', 'train --planner.horizon 0',\n"
        "              'train --algo g2a --ppo.clip 1',\n"
        "              'train --config nowhere', 'evaluate nowhere', 'watch nowhere', 'diagnose nowhere',\n"
        "              'bench nothing', 'envs --all'):\n"
        "    try: main(words.split())\n"
        "    except SystemExit: pass\n"
        "    assert 'jax' not in sys.modules, words"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_environments_are_listed_by_family_the_papers_maps_first(capsys):
    code, output, _ = run(capsys, "envs")
    assert code == 0 and all(len(line) <= 80 for line in output.splitlines())
    _, *families, _ = output.split("\n\n")
    listed = [
        f"{heading.partition(':')[0]}/{map_name}"
        for heading, _, maps in (family.partition("\n") for family in families)
        for map_name in maps.split()
    ]
    paper = "2s_vs_1sc 3s_vs_3z 2s3z 3s_vs_4z 3s_vs_5z 2c_vs_64zg corridor 3s5z_vs_3s6z".split()
    assert listed[:8] == [f"smac_jax/{name}" for name in paper]
    assert sorted(listed) == sorted(envs.names())
    assert "smac_jax/FILE.toml" in output


def test_the_sizes_of_an_environment_are_shown(capsys):
    _, output, _ = run(capsys, "envs", "2s3z")
    rows = [line.split() for line in output.splitlines()[1:5]]
    assert rows[0] == ["smac_jax/2s3z", "5", "80", "11", "120"]
    assert [row[0].partition("/")[0] for row in rows] == ["smac_jax", "smax", "starcraft", "smaclite"]


def test_environments_without_wins_are_marked(capsys):
    _, output, _ = run(capsys, "envs", "probe")
    rows = {line.split()[0]: line for line in output.splitlines() if line.startswith("probe/")}
    assert rows["probe/two-step"].endswith("2*") and rows["probe/relay"].endswith("2")
    assert rows["probe/rivals"].endswith("1+") and "+ pays each agent its own reward" in output
    assert "* has returns, but no wins" in output
    assert not {"*", "+"} & set(run(capsys, "envs", "smax")[1])


def test_environments_are_filtered(capsys):
    code, output, _ = run(capsys, "envs", "probe")
    table = output.partition("\n\n")[0].splitlines()[1:]
    assert code == 0 and "probe/relay" in output and all(row.startswith("probe/") for row in table)


def test_evaluation_of_a_run_repeats_its_last_test(tmp_path):
    summary = train(fake_config(), tmp_path)
    result = evaluate_run(tmp_path, fake_config().evaluation.episodes)
    assert result["eval_win_rate"] == summary["eval_win_rate"]
    assert result["eval_return"] == summary["eval_return"]
    assert json.loads(json.dumps(result)) == result


def test_a_test_seed_gives_the_same_episodes_at_every_checkpoint(tmp_path):
    config = fake_config()
    played = []
    for steps in (config.steps // 2, config.steps):
        train(dataclasses.replace(config, steps=steps), tmp_path)
        played.append(evaluate_run(tmp_path, 16, test_seed=5)["each_won"])
    assert played[0] == played[1] != evaluate_run(tmp_path, 16, test_seed=6)["each_won"]
    train(dataclasses.replace(config, seed=config.seed + 1, num_seeds=1), tmp_path / "alone")
    alone = evaluate_run(tmp_path / "alone", 16, test_seed=5)["each_won"]
    assert played[1][1:] == alone  # whatever the number of the seed in its run
    with pytest.raises(UsageError, match=r"test_seed is 2147483648; it can be at most 2147483647"):
        evaluate_run(tmp_path, 3, test_seed=2**31)


def test_signals_give_their_exit_codes(capsys, monkeypatch):
    from mag.runs.interrupt import Interrupted

    def stop(config, path):
        raise Interrupted(15)

    monkeypatch.setattr("mag.runs.train.train", stop)
    assert run(capsys, "train", "--size", "debug")[0] == 143


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "mag", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("mag ")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("--size debug", (1, 1, 1)),
        ("--size debug --workers 4", (4, 1, 4)),
        ("--size small", (2, 1, 2)),
        ("--size small --num-seeds=3 --workers=2", (2, 3, 2)),
    ],
)
def test_a_task_that_computes_when_it_is_imported_has_its_threads(options, found, tmp_path):
    """Workers, seeds and the threads they get on one core."""
    (tmp_path / "my_tasks.py").write_text(
        "import dataclasses\nimport jax.numpy as jnp\nfrom mag.envs import probe\nfrom mag.envs.probe import make\n"
        "TABLE = jnp.arange(3)\n"
        "def specs(): return {'two-step': dataclasses.replace(probe.specs()['two-step'], name='my_tasks/two-step')}\n"
    )
    script = (
        "import sys, jax, mag.runtime, mag.runs.train; from mag.cli import main\n"
        "mag.runtime.own_cores = lambda: 1\n"
        "mag.runs.train.train = lambda config, run: print(config.workers, config.num_seeds, len(jax.devices()))\n"
        "main(['train', '--env', 'my_tasks/two-step', *sys.argv[1:]])"
    )
    command = [sys.executable, "-c", script, *options.split()]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == [str(number) for number in found]


def test_a_method_or_planner_that_computes_when_it_is_imported_has_its_threads(tmp_path):
    (tmp_path / "my_method.py").write_text(
        "import jax.numpy as jnp\nfrom mag.algorithms.mag.method import MAG as METHOD\nTABLE = jnp.arange(3)\n"
    )
    (tmp_path / "my_planner.py").write_text(
        "import jax.numpy as jnp\nfrom mag.planners.shooting import plan\n"
        "from dataclasses import dataclass\nfrom mag.planners.config import PlannerConfig\nTABLE = jnp.arange(3)\n"
        "@dataclass(frozen=True)\nclass Config(PlannerConfig):\n    kind: str = 'mine'\n"
    )
    script = (
        "import sys, jax, mag.runtime, mag.runs.train; from mag.cli import main\n"
        "mag.runtime.own_cores = lambda: 1\n"
        "mag.runs.train.train = lambda config, run: print(config.algo, config.planner.kind, len(jax.devices()))\n"
        "main('train --env probe/two-step --size debug --workers 4'.split() + sys.argv[1:])"
    )
    for words, found in (
        ("--algo my_method", "my_method shooting 4"),
        ("--planner.kind my_planner", "mag my_planner 4"),
    ):
        command = [sys.executable, "-c", script, *words.split()]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout.strip() == found


def test_an_installed_mag_finds_modules_in_the_current_folder(tmp_path):
    (tmp_path / "my_method.py").write_text("from tests.support.fake import METHOD as METHOD\n")
    # As an installed `mag` begins: with the packages, but without the current folder (-P).
    script = "import sys; sys.path.append(sys.argv.pop(1)); from mag.cli import main; main()"
    command = [sys.executable, "-P", "-c", script, os.getcwd(), "train", "--algo", "my_method", "--help"]
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=surroundings)
    assert (done.returncode, done.stderr) == (0, "") and "my_method" in done.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["envs"], ["--help"], ["train", "--help"], ["watch", "--help"]])
def test_an_output_that_cannot_be_written_is_told(words, unbuffered):
    command = [sys.executable, "-m", "mag", *words]
    surroundings = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=surroundings)
    assert (done.returncode, done.stderr) == (
        2,
        "mag: the output cannot be written: No space left on device; send it elsewhere\n",
    )


def test_a_failure_of_something_else_is_not_blamed_on_the_output(capsys, monkeypatch):
    def fail(words):
        raise OSError(errno.ENOSPC, "No space left on device")  # as writing to an open file raises it, without its name

    monkeypatch.setattr("mag.cli.envs.run", fail)
    told = "mag: No space left on device; fix that and give the same command again\n"
    assert run(capsys, "envs") == (2, "\n", told)


def test_an_output_that_nobody_reads_ends_quietly():
    with subprocess.Popen(
        [sys.executable, "-m", "mag", "envs"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == ("", 1)
