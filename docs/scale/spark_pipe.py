"""Scores pictures on Spark: each partition is piped through one process of resnet.

    spark-submit spark_pipe.py LIST OUT [PARTITIONS] [-- predict --model MODEL]

LIST is a text file of paths that every worker can read, OUT a folder for the results,
one line of JSON for each path. Tested with PySpark 4.3.0 and local-cluster.
"""
import os
import shlex
import sys

from pyspark import SparkConf, SparkContext

RESNET = os.environ.get("RESNET", "resnet")  # the program, at the same place on every worker


def main(args):
    command = ["predict"]
    if "--" in args:
        at = args.index("--")
        args, command = args[:at], args[at + 1:]
    source, out = args[:2]
    partitions = int(args[2]) if len(args) > 2 else None
    sc = SparkContext(conf=SparkConf().setAppName("resnet"))
    lines = sc.textFile(source, partitions or sc.defaultParallelism)
    if partitions:
        lines = lines.repartition(partitions)
    # pipe splits the command into words and runs no shell. Without checkCode, PySpark
    # ignores that a process has failed.
    pipe = shlex.join([RESNET, *command, "--jsonl", "-", "--quiet", "--threads", "1"])
    lines.pipe(pipe, checkCode=True).saveAsTextFile(out)
    sc.stop()


main(sys.argv[1:])
