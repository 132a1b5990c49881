"""Lab 2: reads asibench's output with --csv; each row must have exits in mode naive and none in asi."""
import csv
import sys

text = sys.stdin.read()
start, end = text.find("-----BEGIN CSV-----\n"), text.find("-----END CSV-----")
if start < 0 or end < 0:
    sys.exit("FAIL the benchmark ran: " + (text.strip().split("\n") or ["no output"])[-1][:150])
failed = False
for row in csv.DictReader(text[start:end].split("\n")[1:]):
    exits = float(row["exits"])
    if row["mode"] == "asi":
        print(f"{'FAIL' if exits else 'ok'} {row['row']} in mode asi: {exits:g} exits")
        failed = failed or exits != 0
sys.exit(failed)
