/*
 * Faults on purpose, so that the sanitizers are tested, too: each must find its own.
 *
 *   faulty race       two threads write one word without order
 *   faulty overflow   a signed integer overflows
 *   faulty invalid    memory is read after it was freed
 *   faulty leak       memory is lost
 *
 * Without a sanitizer each ends with 0.
 */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 1000 };

static int shared;

static void *count(void *unused)
{
    (void)unused;
    for (int round = 0; round < ROUNDS; round++) shared++;
    return NULL;
}

static void race(void)
{
    pthread_t threads[2];
    for (int index = 0; index < 2; index++) {
        if (pthread_create(&threads[index], NULL, count, NULL) != 0) exit(2);
    }
    for (int index = 0; index < 2; index++) pthread_join(threads[index], NULL);
}

static void overflow(void)
{
    volatile int most = INT_MAX;
    most = most + 1;
}

static void invalid(void)
{
    volatile char *memory = malloc(16);
    free((void *)memory);
    (void)memory[3];
}

static void leak(void)
{
    void *volatile memory = malloc(16);
    memory = NULL;
    (void)memory;
}

int main(int count_of_arguments, char **arguments)
{
    const char *fault = count_of_arguments == 2 ? arguments[1] : "";
    if (strcmp(fault, "race") == 0) race();
    else if (strcmp(fault, "overflow") == 0) overflow();
    else if (strcmp(fault, "invalid") == 0) invalid();
    else if (strcmp(fault, "leak") == 0) leak();
    else return 2;
    return 0;
}
