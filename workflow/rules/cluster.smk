"""Runs on a cluster: what stays on the login node, and what is looked at before the first job."""

import os

from lensmill import node
from lensmill.cluster import plan, queue


# Seconds each; in the queue they would cost more than that. Without a cluster this has no effect.
localrules:
    list_files,
    compare_populations,
    combine_networks,
    score_network,
    tabulate_scores,
    summarise_search,
    plot_figure,
    write_captions,


def asked(job, resource):
    """Return a resource of a job; 0 if it has none, or one that its unmade inputs decide."""
    value = job.resources.get(resource, 0)
    return value if isinstance(value, int) else 0


def look_at_files():
    """Refuse files that would be misread; return the user's partitions, and what to say of them."""
    from snakemake.cli import get_profile_dir
    from snakemake_executor_plugin_slurm.partitions import read_partition_file
    from lensmill.cluster import slurm_files

    found = [get_profile_dir(name) for name in plan.profiles(sys.argv, os.environ)]
    file = workflow.executor_settings.partition_config
    file = file or os.environ.get("SNAKEMAKE_SLURM_PARTITIONS")
    notes = slurm_files.look([f[1] for f in found if f], file and Path(file))
    return read_partition_file(Path(file)) if file else [], notes


def requested(partitions):
    """List what every job of this run asks for; the plugin chooses where no partition is named.

    Snakemake tells nobody but its executors which jobs it will start, so its own list is asked.
    """
    overwritten = workflow.resource_settings.overwrite_resources
    return [
        plan.Request(
            step=job.rule.name,
            local=job.is_local,
            threads=job.threads,
            mem_mb=asked(job, "mem_mb"),
            runtime=asked(job, "runtime"),
            gpu=asked(job, "gpu"),
            partition=job.resources.get("slurm_partition") or chosen(job, partitions),
            account=job.resources.get("slurm_account", ""),
            set_keys=frozenset(overwritten.get(job.rule.name, {})),
        )
        for job in workflow.dag.needrun_jobs()
    ]


def chosen(job, partitions):
    """Return the partition that the plugin will choose for a job; empty if it leaves that to SLURM."""
    if not partitions:
        return ""
    from lensmill.cluster import slurm_files

    return slurm_files.partition_of(job, partitions)


def look_before_start():
    """Refuse a start that would double or hang jobs; else say what the run asks for."""
    try:
        try:
            queue.refuse_second_start(Path.cwd())
        except queue.Unreachable as error:
            if not workflow.local_exec:
                raise
            # what is made on this machine does not wait for a cluster that is away
            logger.warning(f"not known whether jobs are left in the queue: {error}")
        if workflow.local_exec:
            return
        partitions, notes = look_at_files()
        jobs = requested(partitions)
        plan.refuse_impossible(jobs)
    except RuntimeError as error:
        raise WorkflowError(str(error)) from None
    about = plan.populations(config["experiments"], config["run"])
    about += plan.requests(jobs) + plan.warnings()
    about += [f"  {note}" for note in notes]
    if partitions and "slurm_partition" in workflow.resource_settings.default_resources:
        about.append(
            "  Careful: default-resources names a slurm_partition, so the plugin never asks the "
            "partition file; take that line out of the profile"
        )
    logger.info("\n".join(["What this run asks for:", *about]))


def earlier_layout():
    """Name the experiments whose results are of before predictions and scores were two steps."""
    folders = Path("results").glob("*/logs/evaluate_network")
    return [f.parts[1] for f in folders if not f.with_name("predict_network").exists()]


def drop_default_limit():
    """Let jobs start at any rate, unless a rate was asked for.

    With a limit, Snakemake 9.27 looks again a second after every look, and each job that ends adds
    one more such chain (`JobScheduler.schedule`): after a hundred jobs its own process takes a
    seventh of a core. Nobody meets the default, a hundred jobs per second.
    """
    limit = workflow.scheduler.job_rate_limiter
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


onstart:
    for note in node.NOTES:
        logger.warning(note)
    for name in earlier_layout():
        logger.warning(
            f"results/{name} was made by an earlier version: its predictions lie elsewhere now. "
            "`snakemake --cores 2` makes anew what is needed; `make figures` draws what is there; "
            f"to start afresh, remove results/{name}"
        )
    look_before_start()
    drop_default_limit()
    checked.keep(chosen_config, Path("results/configurations"))
