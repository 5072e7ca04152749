"""Where tasks run: in this process (`here`), on worker processes below it (`processes`), on a Dask cluster (`cluster`).

An executor takes tasks and yields each with its outcome or the error that ended it, in whatever order they end. Workers
may die without taking the conversion with them: `deaths` decides what a death means for the task.
"""
