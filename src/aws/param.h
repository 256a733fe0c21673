/* A list of names and values, ended by an element whose name is NULL: query parameters and headers. */
#ifndef AWS_PARAM_H
#define AWS_PARAM_H

struct aws_param {
    const char *name;
    const char *value; /* NULL: a header that is not sent / a query parameter without value ("?acl") */
};

#endif
